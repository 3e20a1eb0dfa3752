"""One block for many pipelines: what they ask within a tick passes the block's tail as one matrix.

Serving a few rows costs the reading of the block's weights, however many rows there are. So requests are gathered for
a moment, each pipeline's attention is computed by its own folded maps, and then the read rows of all of them go through
the output projection and the feed-forward part together. Nothing here knows of a transport.

    service = BlockService(tail)
    forecaster.block = service.pipeline("forecast", fold(forecaster.block, tail=tail))
    answerer.block = service.pipeline("answer", fold(answerer.block, tail=tail))
"""

from __future__ import annotations

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

LATELY = 10
"""So many times the longest wait ago is lately: of pipelines that ask less often than that, nine waits in ten would be
in vain."""


class Overloaded(RuntimeError):
    """A pipeline's queue is full: it asks faster than the service answers."""


class DeadlineExceeded(TimeoutError):
    """A request's deadline passed before its tick began; nothing was computed for it."""


class ServiceClosed(RuntimeError):
    """The service takes no more requests."""


@dataclass(frozen=True)
class ServiceCounts:
    """What a service has done so far.

    Attributes:
        ticks: Passes through the tail.
        requests: Answered.
        rows: That passed the tail.
        failed: Requests whose own computation raised an error, which their caller got.
        expired: Requests whose deadline had passed.
        rejected: Requests that found their queue full.
    """

    ticks: int = 0
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

    @property
    def rows(self) -> int:
        batch, tokens, _ = self.tokens.values.shape
        return batch * (tokens if self.readout.rows is None else self.readout.rows.shape[1])


class BlockService:
    """Evaluates the requests of several pipelines around one block, tick by tick, in a thread of its own.

    Pipelines take turns: a tick takes the oldest request of each in rotation until `max_batch` rows are full, so none
    starves behind a busy one. Requests of one pipeline are answered in the order they came.

    Args:
        tail: Of the block that all pipelines share.
        max_batch: Rows in a tick. A single request may have more; it then has a tick of its own.
        max_delay_s: How long a request may wait for other pipelines' to come along. It waits for those only that asked
            lately (`LATELY`): what asks ten times a second will hardly do so within these milliseconds.
        queue_size: Requests of one pipeline that may wait.
    """

    def __init__(
        self, tail: BlockTail, *, max_batch: int = 256, max_delay_s: float = 0.002, queue_size: int = 16
    ) -> None:
        self.tail = tail
        self.max_batch, self.max_delay_s, self.queue_size = max_batch, max_delay_s, queue_size
        self.counts = ServiceCounts()
        self._pipelines: dict[str, FoldedBlock] = {}
        self._queues: dict[str, deque[_Request]] = {}
        self._asked: dict[str, float] = {}
        self._turn: deque[str] = deque()
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, name="block-service", daemon=True)
        self._thread.start()

    def pipeline(self, name: str, folded: FoldedBlock) -> ServedBlock:
        """Takes a pipeline in; the module it gives stands where the pipeline's adapter stood.

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
            self._pipelines[name], self._queues[name], self._asked[name] = folded, deque(), time.monotonic()
            self._turn.append(name)
        return ServedBlock(self, name)

    def submit(
        self, name: str, tokens: Tokens, readout: Readout = EVERY_ROW, timeout_s: float = float("inf")
    ) -> Future[Tensor]:
        """Asks for the rows that a head reads, [batch, rows, dim]; thread-safe, returns at once.

        Args:
            name: Of the pipeline.
            tokens: As for its adapter.
            readout: As for its adapter.
            timeout_s: From now; a request whose tick has not begun by then fails with `DeadlineExceeded`.

        Raises:
            Overloaded: The pipeline's queue is full.
            ServiceClosed: After `close`.
            KeyError: No pipeline of that name.
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
            self._asked[name] = now
            self._changed.notify_all()
        return request.future

    def close(self, timeout_s: float | None = None) -> None:
        """Takes no more requests, answers those that wait, and ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def __enter__(self) -> BlockService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        while tick := self._next_tick():
            self._evaluate(tick)

    def _next_tick(self) -> list[tuple[FoldedBlock, _Request]]:
        """Waits for requests, then for more of them; nothing once the service is closed and all are answered."""
        with self._changed:
            while not any(self._queues.values()):
                if self._closing:
                    return []
                self._changed.wait()
            while not self._closing and sum(r.rows for q in self._queues.values() for r in q) < self.max_batch:
                oldest = min(queue[0].arrived for queue in self._queues.values() if queue)
                patience = oldest + self.max_delay_s - time.monotonic()
                if patience <= 0 or not self._expects_others() or not self._changed.wait(patience):
                    break
            return self._take_turns()

    def _expects_others(self) -> bool:
        """Whether a pipeline of which nothing waits asked, or was taken in, lately."""
        since = time.monotonic() - LATELY * self.max_delay_s
        return any(asked > since and not self._queues[name] for name, asked in self._asked.items())

    def _take_turns(self) -> list[tuple[FoldedBlock, _Request]]:
        """The oldest request of each pipeline in rotation, as many as fit; what does not fit is first next time."""
        tick: list[tuple[FoldedBlock, _Request]] = []
        rows, waiting = 0, deque(name for name in self._turn if self._queues[name])
        first_left = None
        while waiting:
            name = waiting.popleft()
            queue = self._queues[name]
            if tick and rows + queue[0].rows > self.max_batch:
                first_left = first_left or name
                continue
            request = queue.popleft()
            rows += request.rows
            tick.append((self._pipelines[name], request))
            if queue:
                waiting.append(name)
        self._turn.rotate(-1 if first_left is None else -self._turn.index(first_left))
        return tick

    def _evaluate(self, tick: list[tuple[FoldedBlock, _Request]]) -> None:
        """Computes a tick, and only when all is counted tells those who asked."""
        rows, outcomes = self._outcomes([(f, r) for f, r in tick if r.future.set_running_or_notify_cancel()])
        expired = sum(isinstance(outcome, DeadlineExceeded) for _, outcome in outcomes)
        answered = sum(isinstance(outcome, Tensor) for _, outcome in outcomes)
        with self._changed:
            counts = self.counts
            self.counts = ServiceCounts(
                ticks=counts.ticks + bool(rows),
                requests=counts.requests + answered,
                rows=counts.rows + rows,
                failed=counts.failed + len(outcomes) - answered - expired,
                expired=counts.expired + expired,
                rejected=counts.rejected,
            )
        for request, outcome in outcomes:
            if isinstance(outcome, Tensor):
                request.future.set_result(outcome)
            else:
                request.future.set_exception(outcome)

    @torch.inference_mode()
    def _outcomes(
        self, tick: list[tuple[FoldedBlock, _Request]]
    ) -> tuple[int, list[tuple[_Request, Tensor | Exception]]]:
        """Attention of each, the tail of all at once, the way out of each; how many rows passed the tail."""
        now = time.monotonic()
        outcomes: list[tuple[_Request, Tensor | Exception]] = []
        ready: list[tuple[FoldedBlock, _Request, Tensor, Tensor]] = []
        for folded, request in tick:
            try:
                if now > request.deadline:
                    raise DeadlineExceeded(f"waited {now - request.arrived:.3f} s for its tick")
                ready.append((folded, request, *folded.attention(request.tokens, request.readout)))
            except Exception as error:
                outcomes.append((request, error))
        if not ready:
            return 0, outcomes
        residual = torch.cat([rows.flatten(0, 1) for _, _, rows, _ in ready])
        attended = torch.cat([rows.flatten(0, 1) for _, _, _, rows in ready])
        try:
            hidden = self.tail(residual, attended).split([request.rows for _, request, _, _ in ready])
        except Exception as error:
            return len(residual), [*outcomes, *((request, error) for _, request, _, _ in ready)]
        for (folded, request, rows, _), own in zip(ready, hidden, strict=True):
            own = own.unflatten(0, rows.shape[:2])
            outcomes.append((request, folded.finish(own, request.tokens, request.readout)))
        return len(residual), outcomes


class ServedBlock(nn.Module):
    """Stands where a pipeline's adapter stood, and asks a service for its values.

    Attributes:
        timeout_s: Deadline of each request.
    """

    def __init__(self, service: BlockService, name: str) -> None:
        super().__init__()
        self._service, self._name = service, name
        self.timeout_s = float("inf")

    def forward(self, tokens: Tokens, readout: Readout = EVERY_ROW) -> Tensor:
        """The rows that the head reads; waits for them."""
        return self._service.submit(self._name, tokens, readout, self.timeout_s).result()
