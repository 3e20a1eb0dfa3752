"""One block for many pipelines: their requests pass the block's tail as one batch.

The time for a few rows is that of reading the block's weights, whatever their number. So requests are gathered for a
moment, each pipeline's attention is computed by its own folded maps, and the read rows of all requests go through the
output projection and the feed-forward part together. This module knows no transport.

    service = BlockService(tail)
    forecaster = forecaster.with_block(service.pipeline("forecast", fold(forecaster.block, tail=tail)))
    answerer = answerer.with_block(service.pipeline("answer", fold(answerer.block, tail=tail)))
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from perception.errors import InputError
from perception.frozen.block import EVERY_ROW
from perception.frozen.folded import BlockTail, FoldedBlock
from perception.tokens import Readout, Tokens

ACTIVE_DELAYS = 10
"""A pipeline counts as active if it asked within this many `max_delay_s`. Waiting for a pipeline that asks less often
would be in vain nine times in ten."""
STUCK_S = 30.0
"""A batch that takes longer is stuck: the largest that the default limits of a request allow takes a few seconds."""

_log = logging.getLogger(__name__)


class Overloaded(RuntimeError):
    """A pipeline's queue is full: it asks faster than the service answers."""


class DeadlineExceeded(TimeoutError):
    """A request's deadline passed before its batch began; nothing was computed for it."""


class ServiceClosed(RuntimeError):
    """The service is closed to further requests."""


@dataclass(frozen=True)
class ServiceCounts:
    """What a service has done so far.

    Attributes:
        batches: Number of passes through the tail.
        requests: Number of requests answered.
        rows: Number of rows in their answers.
        failed: Number of requests whose own computation raised an error, which their caller got.
        expired: Number of requests whose deadline had passed.
        rejected: Number of requests that found their queue full.
    """

    batches: int = 0
    requests: int = 0
    rows: int = 0
    failed: int = 0
    expired: int = 0
    rejected: int = 0


@dataclass
class _Request:
    tokens: Tokens
    readout: Readout
    deadline: float
    arrived: float
    future: Future[Tensor] = field(default_factory=Future)
    rows: int = field(init=False)

    def __post_init__(self) -> None:
        batch, tokens, _ = self.tokens.values.shape  # fails here, in the asker's thread, where it has another shape
        self.rows = batch * (tokens if self.readout.rows is None else self.readout.rows.shape[1])


_Ready = tuple[FoldedBlock, _Request, Tensor, Tensor]
"""A request with its residual stream and its attention's output."""
_Outcome = tuple[_Request, Tensor | Exception]


class BlockService:
    """Computes the requests of several pipelines around one block, batch by batch, in a thread of its own.

    A request that fails does so alone. If the thread itself ends unasked, those that wait fail and later ones are
    refused.

    Pipelines take turns: a batch takes the oldest request of each in rotation until it has `max_batch` rows, so that
    none starves behind a busy one. Requests of one pipeline are answered in the order in which they came.

    Args:
        tail: Tail of the block that all pipelines share.
        max_batch: Maximum number of rows in a batch. A single request may have more, and then has a batch of its own.
        max_delay_s: Maximum time in seconds that a request waits for requests of other active pipelines
            (`ACTIVE_DELAYS`).
        queue_size: Maximum number of requests of one pipeline that wait.
    """

    def __init__(
        self, tail: BlockTail, *, max_batch: int = 256, max_delay_s: float = 0.002, queue_size: int = 16
    ) -> None:
        self.tail: nn.Module = tail
        self.max_batch, self.max_delay_s, self.queue_size = max_batch, max_delay_s, queue_size
        self.counts = ServiceCounts()
        self._pipelines: dict[str, FoldedBlock] = {}
        self._queues: dict[str, deque[_Request]] = {}
        self._last_request_s: dict[str, float] = {}
        self._turn: deque[str] = deque()
        self._closing = self._died = False
        self._began_s: float | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, name="block-service", daemon=True)
        self._thread.start()

    def pipeline(self, name: str, folded: FoldedBlock) -> ServedBlock:
        """Adds a pipeline; returns the module to use in place of its adapter.

        Raises:
            InputError: The name is taken, or the pipeline was folded around another tail.
        """
        if folded.tail is not self.tail:
            raise InputError(
                f"pipeline {name}: expected it folded with this service's tail; use fold(adapter, tail=service.tail)"
            )
        with self._changed:
            if name in self._pipelines:
                raise InputError(f"pipeline {name}: the service has one of that name; choose another")
            self._pipelines[name], self._queues[name], self._last_request_s[name] = folded, deque(), time.monotonic()
            self._turn.append(name)
        return ServedBlock(self, name)

    def submit(
        self, name: str, tokens: Tokens, readout: Readout = EVERY_ROW, timeout_s: float = float("inf")
    ) -> Future[Tensor]:
        """Asks for the rows that a head reads, [batch, rows, dim]; thread-safe, returns at once.

        Args:
            name: Name of the pipeline.
            tokens: As for its adapter.
            readout: As for its adapter.
            timeout_s: A request whose batch has not begun after this time fails with `DeadlineExceeded`.

        Raises:
            Overloaded: The pipeline's queue is full.
            ServiceClosed: After `close`.
            KeyError: There is no pipeline of that name.
        """
        now = time.monotonic()
        request = _Request(tokens, readout, now + timeout_s, now)
        with self._changed:
            queue = self._queues[name]
            if self._closing:
                raise ServiceClosed("the block service is closed")
            if len(queue) >= self.queue_size:
                self.counts = replace(self.counts, rejected=self.counts.rejected + 1)
                raise Overloaded(f"pipeline {name}: {len(queue)} requests are waiting, which is all its queue holds")
            queue.append(request)
            self._last_request_s[name] = now
            self._changed.notify_all()
        return request.future

    def close(self, timeout_s: float | None = None) -> None:
        """Refuses further requests, answers those that wait, and ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def __enter__(self) -> BlockService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def trouble(self) -> str:
        """Returns why no request is answered any more, which only a new process cures; empty if they are."""
        if self._died:
            return "the block service's thread has died"
        began_s = self._began_s
        lasts_s = 0.0 if began_s is None else time.monotonic() - began_s
        return f"a batch takes {lasts_s:.1f} s; expected at most {STUCK_S:g}" if lasts_s > STUCK_S else ""

    def _serve(self) -> None:
        batch: list[tuple[FoldedBlock, _Request]] = []
        try:
            while batch := self._next_batch():
                self._began_s = time.monotonic()
                self._compute(batch)
                self._began_s = None
        except BaseException:
            self._abandon(batch)
            raise

    def _abandon(self, batch: list[tuple[FoldedBlock, _Request]]) -> None:
        """Refuses further requests, and fails those that nobody will answer."""
        _log.critical("the block service's thread has died", exc_info=True)
        with self._changed:
            self._died = self._closing = True
            waiting = [request for queue in self._queues.values() for request in queue]
            for queue in self._queues.values():
                queue.clear()
        for request in [*(request for _, request in batch), *waiting]:
            if not request.future.done():
                request.future.set_exception(ServiceClosed("the block service has failed"))

    def _next_batch(self) -> list[tuple[FoldedBlock, _Request]]:
        """Waits for requests, then for more; returns none once the service is closed and all are answered."""
        with self._changed:
            while not any(self._queues.values()):
                if self._closing:
                    return []
                self._changed.wait()
            while not self._closing and sum(r.rows for q in self._queues.values() for r in q) < self.max_batch:
                oldest = min(queue[0].arrived for queue in self._queues.values() if queue)
                left_s = oldest + self.max_delay_s - time.monotonic()
                if left_s <= 0 or not self._expects_others() or not self._changed.wait(left_s):
                    break
            return self._take_turns()

    def _expects_others(self) -> bool:
        """Whether a pipeline without a waiting request is active, or was added just now."""
        since = time.monotonic() - ACTIVE_DELAYS * self.max_delay_s
        return any(asked_s > since and not self._queues[name] for name, asked_s in self._last_request_s.items())

    def _take_turns(self) -> list[tuple[FoldedBlock, _Request]]:
        """Takes the oldest request of each pipeline in rotation, as many as fit; the first left is first next time."""
        batch: list[tuple[FoldedBlock, _Request]] = []
        rows, waiting = 0, deque(name for name in self._turn if self._queues[name])
        first_left = None
        while waiting:
            name = waiting.popleft()
            queue = self._queues[name]
            if batch and rows + queue[0].rows > self.max_batch:
                first_left = first_left or name
                continue
            request = queue.popleft()
            rows += request.rows
            batch.append((self._pipelines[name], request))
            if queue:
                waiting.append(name)
        self._turn.rotate(-1 if first_left is None else -self._turn.index(first_left))
        return batch

    def _compute(self, batch: list[tuple[FoldedBlock, _Request]]) -> None:
        """Computes a batch, counts it, and then delivers the outcomes."""
        outcomes = self._outcomes([(f, r) for f, r in batch if r.future.set_running_or_notify_cancel()])
        expired = sum(isinstance(outcome, DeadlineExceeded) for _, outcome in outcomes)
        rows_answered = [request.rows for request, outcome in outcomes if isinstance(outcome, Tensor)]
        with self._changed:
            counts = self.counts
            self.counts = ServiceCounts(
                batches=counts.batches + bool(rows_answered),
                requests=counts.requests + len(rows_answered),
                rows=counts.rows + sum(rows_answered),
                failed=counts.failed + len(outcomes) - len(rows_answered) - expired,
                expired=counts.expired + expired,
                rejected=counts.rejected,
            )
        for request, outcome in outcomes:
            if isinstance(outcome, Tensor):
                request.future.set_result(outcome)
            else:
                request.future.set_exception(outcome)

    @torch.inference_mode()
    def _outcomes(self, batch: list[tuple[FoldedBlock, _Request]]) -> list[_Outcome]:
        """Returns each request's answer or error."""
        now = time.monotonic()
        outcomes: list[_Outcome] = []
        ready: list[_Ready] = []
        for folded, request in batch:
            try:
                if now > request.deadline:
                    raise DeadlineExceeded(f"waited {now - request.arrived:.3f} s for its batch")
                ready.append((folded, request, *folded.attention(request.tokens, request.readout)))
            except Exception as error:
                outcomes.append((request, error))
        return outcomes + self._finish(ready)

    def _finish(self, ready: list[_Ready]) -> list[_Outcome]:
        """Passes rows through the tail as one matrix; where that fails, each request's own, so that it fails alone."""
        if not ready:
            return []
        try:
            residual = torch.cat([rows.flatten(0, 1) for _, _, rows, _ in ready])
            attended = torch.cat([rows.flatten(0, 1) for _, _, _, rows in ready])
            hidden = self.tail(residual, attended).split([request.rows for _, request, _, _ in ready])
            return [
                (request, folded.finish(own.unflatten(0, rows.shape[:2]), request.tokens, request.readout))
                for (folded, request, rows, _), own in zip(ready, hidden, strict=True)
            ]
        except Exception as error:
            if len(ready) == 1:
                return [(ready[0][1], error)]
        return [outcome for one in ready for outcome in self._finish([one])]


class ServedBlock(nn.Module):
    """Asks a service for its values, in place of a pipeline's adapter.

    Attributes:
        timeout_s: Time limit of each request, seconds.
    """

    def __init__(self, service: BlockService, name: str) -> None:
        super().__init__()
        self._service, self._name = service, name
        self.timeout_s = float("inf")

    def forward(self, tokens: Tokens, readout: Readout = EVERY_ROW) -> Tensor:
        """Returns the rows that the head reads; waits for them."""
        return self._service.submit(self._name, tokens, readout, self.timeout_s).result()
