"""What the people who run a process ask of it: whether it lives, whether it is ready, its numbers, and that it stops.

    GET /livez     200 while the process makes progress, or 503: restart it
    GET /readyz    200 while it would answer, or 503 and why not: send work elsewhere
    GET /metrics   Prometheus' text

All on loopback unless told otherwise: none of it is for strangers.
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
from typing import NoReturn

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from perception.errors import InputError

Check = Callable[[], str]
"""Says what is wrong; empty where nothing is."""


class OperationsServer:
    """Answers the three questions in a thread of its own.

    Args:
        port: 0 takes a free one.
        live: What keeps the process from making progress.
        ready: What keeps it from answering.
        registry: Of its metrics.
        address: To listen at.

    Attributes:
        port: That it listens at.
    """

    def __init__(
        self, port: int, *, live: Check, ready: Check, registry: CollectorRegistry, address: str = "127.0.0.1"
    ) -> None:
        class Handler(_Handler):
            checks = {"/livez": live, "/readyz": ready}  # noqa: RUF012
            numbers = registry

        try:
            self._server = _Server((address, port), Handler)
        except (OSError, OverflowError) as error:
            raise InputError(f"{address}:{port} cannot be listened at ({error}); choose another port") from error
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="operations", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops to answer."""
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
    timeout = 5  # seconds that a client may take to say what it wants

    def do_GET(self) -> None:
        """Answers one question."""
        if self.path == "/metrics":
            self._answer(200, generate_latest(self.numbers), CONTENT_TYPE_LATEST)
        elif self.path in self.checks:
            wrong = self.checks[self.path]()
            self._answer(503 if wrong else 200, f"{wrong or 'ok'}\n".encode(), "text/plain; charset=utf-8")
        else:
            self._answer(404, b"expected /livez, /readyz or /metrics\n", "text/plain; charset=utf-8")

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: probes come every few seconds."""

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class StopSignal:
    """SIGTERM and SIGINT as something to wait for, instead of the process's sudden end. For the main thread."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        for number in (signal.SIGTERM, signal.SIGINT):
            # A pipe and no threading.Event: whose lock the waiting main thread, where handlers run, may hold.
            signal.signal(number, lambda *_: os.write(self._write, b"."))

    def wait(self, works: Callable[[], bool] = lambda: True, every_s: float = 0.5) -> bool:
        """True when a signal came, False when the process does not work any more, looked at every so often."""
        while works():
            if select.select([self._read], [], [], every_s)[0]:
                return True
        return False


def leave(status: int) -> NoReturn:
    """Ends the process at once, for when all is closed.

    The interpreter's own way out hangs, after its last Python frame, in a process that has both zenoh subscribers and a
    model from Lightning in it (zenoh 1.10, measured); whoever waits for the end would have to kill it.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
