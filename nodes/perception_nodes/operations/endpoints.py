"""What operators need of a process: its health and metrics over HTTP, and a clean end.

    GET /livez     200 while the process makes progress, or 503: restart it
    GET /readyz    200 while it is live and would answer, or 503 and the reason: send work elsewhere
    GET /metrics   metrics in Prometheus' text format

It listens on loopback by default.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NoReturn, Self

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from perception.errors import InputError

Check = Callable[[], str]
"""Returns what is wrong; empty if nothing is."""


class OperationsServer:
    """Answers the three requests in a thread of its own.

    Args:
        port: Port to listen at; 0 chooses a free one.
        live: Returns why the process makes no progress.
        ready: Returns why the process would not answer.
        registry: Registry of the metrics.
        address: Address to listen at.

    Attributes:
        port: Port that it listens at.
    """

    def __init__(
        self, port: int, *, live: Check, ready: Check, registry: CollectorRegistry, address: str = "127.0.0.1"
    ) -> None:
        class Handler(_Handler):
            checks = {"/livez": live, "/readyz": lambda: live() or ready()}  # noqa: RUF012
            numbers = registry

        try:
            self._server = _Server((address, port), Handler)
        except (OSError, OverflowError) as error:
            raise InputError(f"{address}:{port} cannot be listened at ({error}); choose another port") from error
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="operations", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> OperationsServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    checks: dict[str, Check]
    numbers: CollectorRegistry
    timeout = 5  # seconds until a client must have sent its request

    def do_GET(self) -> None:
        """Answers one request."""
        if self.path == "/metrics":
            self._answer(200, generate_latest(self.numbers), CONTENT_TYPE_LATEST)
        elif self.path in self.checks:
            wrong = _wrong(self.checks[self.path])
            self._answer(503 if wrong else 200, f"{wrong or 'ok'}\n".encode(), "text/plain; charset=utf-8")
        else:
            self._answer(404, b"expected /livez, /readyz or /metrics\n", "text/plain; charset=utf-8")

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing, since probes come every few seconds."""

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _wrong(check: Check) -> str:
    try:
        return check()
    except Exception as error:
        return f"the check itself fails: {type(error).__name__}: {error}"


class StopSignal:
    """Waits for SIGTERM or SIGINT, which do not end the process at once within its context. For the main thread."""

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe()
        # A pipe instead of a threading.Event, whose lock the waiting main thread, where handlers run, may hold.
        self._before = {
            number: signal.signal(number, lambda *_: os.write(self._write, b"."))
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def wait(self, works: Callable[[], bool] = lambda: True, every_s: float = 0.5) -> bool:
        """Returns True once a signal comes, False once `works` does; that is checked every `every_s` seconds."""
        while works():
            if self.within(every_s):
                return True
        return False

    def within(self, seconds: float) -> bool:
        """Returns True as soon as a signal comes, False after a time without one."""
        return bool(select.select([self._read], [], [], max(seconds, 0.0))[0])


def leave(status: int, reason: str = "") -> NoReturn:
    """Ends the process at once, after everything is closed; a reason goes to stderr.

    Status 0 follows a signal, 2 a mistake of the user's, which starting again would not mend, and 1 anything else.

    The interpreter's own exit hangs, after the last Python code has run, in a process that has both zenoh subscribers
    and a model from Lightning (zenoh 1.10, measured).
    """
    logging.shutdown()
    if reason:
        print(reason, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
