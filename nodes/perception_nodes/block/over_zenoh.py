"""Block workers on zenoh: each answers at a key of its own; clients choose one, and another one when it dies.

    blk/PIPELINE/WORKER/infer   queryable: safetensors bytes in and out; the remaining seconds as attachment
    blk/PIPELINE/WORKER/alive   liveliness token

Keys are unique because zenoh 1.10 sends every query for a shared key to the same worker, and clients of a shared key
get no more answers once its worker undeclares itself (both measured). Payloads above 3 kB go through shared memory
between processes of a host, which is zenoh's default.
"""

from __future__ import annotations

import itertools
import logging
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import zenoh
from torch import Tensor

from perception.errors import InputError
from perception_nodes.block.host import BlockHost
from perception_nodes.block.request import (
    ANSWER,
    BlockFailed,
    MalformedRequest,
    NoWorker,
    error_name,
    error_of,
    pack,
    unpack,
)
from perception_nodes.block.service import DeadlineExceeded, Overloaded, ServiceClosed
from perception_nodes.failure_log import FailureLog

MAX_ANSWER_BYTES = 64 * 2**20
_SETTLE_S = 0.2
"""Seconds from withdrawing a token until every client has seen it."""
_NAME = re.compile(r"[\w.-]+", re.ASCII)

_failures = FailureLog(logging.getLogger(__name__))


class ZenohBlockWorker:
    """Answers a host's pipelines on a zenoh session.

    Args:
        session: Its owner closes it, after `close`.
        host: Host of the pipelines; its owner closes it.
        worker: Name of the worker, unique among all; None takes the session's id.
    """

    def __init__(self, session: zenoh.Session, host: BlockHost, worker: str | None = None) -> None:
        self._host = host
        self._replies = ThreadPoolExecutor(4, thread_name_prefix="block-replies")
        self._open, self._unanswered, self._changed = True, 0, threading.Condition()
        self._queryables, self._tokens = [], []
        for pipeline in host.widths:
            key = f"blk/{_expect_name(pipeline)}/{_expect_name(worker or str(session.zid()))}"
            take = partial(self._take, pipeline, f"{key}/infer")
            self._queryables.append(session.declare_queryable(f"{key}/infer", take))
            self._tokens.append(session.liveliness().declare_token(f"{key}/alive"))

    def close(self, timeout_s: float = 4.0) -> None:
        """Sends clients to other workers, then answers the requests that came before they knew."""
        for token in self._tokens:
            token.undeclare()
        time.sleep(_SETTLE_S)
        with self._changed:
            self._open = False
            self._changed.wait_for(lambda: not self._unanswered, timeout_s - _SETTLE_S)
        self._replies.shutdown(wait=False)
        for queryable in self._queryables:
            queryable.undeclare()

    def __enter__(self) -> ZenohBlockWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, pipeline: str, key: str, query: zenoh.Query) -> None:
        """Checks and queues a query; runs on zenoh's thread, which must not wait."""
        try:
            with self._changed:
                if not self._open:
                    raise ServiceClosed("this worker is leaving")
                self._unanswered += 1
            try:
                future = self._host.submit(pipeline, *_read(query, self._host.limits.max_bytes))
            except BaseException:
                self._settle()
                raise
        except Exception as error:
            _reply_error(query, error)
        else:
            future.add_done_callback(lambda done: self._replies.submit(self._reply, key, query, done))

    def _reply(self, key: str, query: zenoh.Query, done: Future[Tensor]) -> None:
        try:
            query.reply(key, pack({ANSWER: done.result()}))
        except Exception as error:
            _reply_error(query, error)
        finally:
            query.drop()  # the answer is complete only then
            self._settle()

    def _settle(self) -> None:
        with self._changed:
            self._unanswered -= 1
            self._changed.notify_all()


def _read(query: zenoh.Query, max_bytes: int) -> tuple[dict[str, Tensor], float]:
    """Returns a query's tensors and its remaining seconds."""
    if query.payload is None:
        raise MalformedRequest("expected a request's tensors, got nothing")
    return unpack(query.payload.to_bytes(), max_bytes), _seconds(query.attachment)


def _reply_error(query: zenoh.Query, error: Exception) -> None:
    """Replies an error's name and message; those of an unforeseen error go to the log only."""
    name = error_name(error)
    if name == "failed":
        _failures.add("a request", error)
    message = "look at the service's log" if name == "failed" else str(error)
    try:
        query.reply_err(f"{name}: {message}")
    except zenoh.ZError:
        _failures.add("a client", ConnectionError(f"went away before it got its error: {message}"))


def _seconds(attachment: zenoh.ZBytes | None) -> float:
    """Returns a request's remaining seconds."""
    try:
        seconds = math.inf if attachment is None else float(attachment.to_bytes()[:32])
    except ValueError as error:
        raise MalformedRequest(f"expected a request's remaining seconds, got something else: {error}") from error
    if math.isnan(seconds):
        raise MalformedRequest("expected a request's remaining seconds, got NaN")
    return seconds


def _expect_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError(f"name {name[:80]!r}: expected letters, digits, dots, hyphens and underscores; rename it")
    return name


class ZenohBlocks:
    """Connection to block workers over zenoh; asks the live one with the fewest of our requests.

    Args:
        session: Its owner closes it.
        patient: Whether a request waits for a worker while there is none.
    """

    def __init__(self, session: zenoh.Session, *, patient: bool = True) -> None:
        self._session, self._patient = session, patient
        self._pipelines: dict[str, _Workers] = {}
        self._lock = threading.Lock()

    def infer(self, pipeline: str, tensors: Mapping[str, Tensor], timeout_s: float) -> Tensor:
        """See `BlockTransport.infer`. A request is sent to another worker only if it will not be answered any more."""
        end = time.monotonic() + timeout_s
        workers, payload = self._workers(pipeline), pack(tensors)
        refused: set[str] = set()
        overloaded: Overloaded | None = None
        while worker := workers.take(refused, end, wait=self._patient and overloaded is None):
            try:
                return self._ask(f"blk/{pipeline}/{worker}/infer", payload, end)
            except Overloaded as error:
                overloaded = error
                refused.add(worker)
            except (ServiceClosed, NoWorker):
                refused.add(worker)
            finally:
                workers.give_back(worker)
        if overloaded is not None:
            raise overloaded
        raise NoWorker(
            f"pipeline {pipeline}: expected a worker{f' within {timeout_s:g} s' if self._patient else ''}, "
            f"{len(refused)} went away when asked; start one, or give requests more time"
        )

    def close(self) -> None:
        """Stops watching for workers."""
        with self._lock:
            for workers in self._pipelines.values():
                workers.close()
            self._pipelines.clear()

    def _workers(self, pipeline: str) -> _Workers:
        with self._lock:
            if pipeline not in self._pipelines:
                self._pipelines[pipeline] = _Workers(self._session, _expect_name(pipeline))
            return self._pipelines[pipeline]

    def _ask(self, key: str, payload: bytes, end: float) -> Tensor:
        left = end - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"{key}: no time is left to ask")
        # If the worker dies or the time is over, nothing comes, or zenoh's own timeout as an error.
        for reply in self._session.get(key, payload=payload, attachment=f"{left:.6f}", timeout=left):
            if reply.ok is not None:
                return _answer(reply.ok.payload.to_bytes())
            assert reply.err is not None
            name, _, message = reply.err.payload.to_string().partition(": ")
            if name in ("Timeout", "timeout"):
                break
            raise error_of(name, message)
        if time.monotonic() >= end:
            raise DeadlineExceeded(f"{key}: no answer in time")
        raise NoWorker(f"{key}: went away with the request")


def _answer(data: bytes) -> Tensor:
    try:
        return unpack(data, MAX_ANSWER_BYTES)[ANSWER]
    except (MalformedRequest, KeyError) as error:
        raise BlockFailed(f"the answer cannot be read: {error}") from error


class _Workers:
    """The live workers of a pipeline, and the number of our requests that each has."""

    def __init__(self, session: zenoh.Session, pipeline: str) -> None:
        self._changed = threading.Condition()
        self._outstanding: Counter[str] = Counter()
        self._live: set[str] = set()
        self._turn = itertools.count()
        self._last: dict[str, int] = {}
        self._watch = session.liveliness().declare_subscriber(f"blk/{pipeline}/*/alive", self._see, history=True)

    def take(self, refused: set[str], end: float, *, wait: bool) -> str | None:
        """Returns the worker to ask next; None if there is none, with `wait` also none until the end."""
        with self._changed:
            while not (free := self._live - refused):
                left = end - time.monotonic()
                if not wait or left <= 0 or not self._changed.wait(left):
                    return None
            worker = min(free, key=lambda name: (self._outstanding[name], self._last.get(name, -1)))
            self._outstanding[worker] += 1
            self._last[worker] = next(self._turn)
            return worker

    def give_back(self, worker: str) -> None:
        """Counts a request to the worker as done."""
        with self._changed:
            self._outstanding[worker] -= 1
            if not self._outstanding[worker]:
                del self._outstanding[worker]

    def close(self) -> None:
        """Stops watching."""
        self._watch.undeclare()

    def _see(self, sample: zenoh.Sample) -> None:
        worker = str(sample.key_expr).split("/")[2]
        with self._changed:
            if sample.kind == zenoh.SampleKind.PUT:
                self._live.add(worker)
            else:
                self._live.discard(worker)
                self._last.pop(worker, None)
            self._changed.notify_all()
