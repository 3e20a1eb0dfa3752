"""Runs a node's model in a thread of its own, so that an answer without it never waits for it.

PyTorch is imported there and nowhere else, and not at all for a model that another runtime computes: a node can answer
while its model is loaded. Maps go there too, since the
encoder computes on them. Where the thread falls behind, the newest question and the newest map win.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

from perception.traffic.scenario import Forecast
from perception_nodes.forecasting.causes import CANNOT_LOAD
from perception_nodes.forecasting.node import NO_MODEL
from perception_nodes.forecasting.question import Question
from perception_nodes.operations.reasons import named, reason_of

Q = TypeVar("Q")
A = TypeVar("A")

STUCK_S = 10.0
"""A question that takes longer will have no answer: the process must be started again."""
LONGEST_LOAD_S = 300.0
"""Loading that takes longer will not end."""


@dataclass
class Asked(Generic[Q, A]):
    """A question and what became of it.

    Attributes:
        question: The question.
        answer: The model's; None if there is none.
        reason: Why there is none.
        settled: Whether there is an answer or a reason.
        abandoned: Whether nobody waits for it any more.
    """

    question: Q
    answer: A | None = None
    reason: str = ""
    settled: bool = False
    abandoned: bool = False


class ModelRunner(Generic[Q, A]):
    """One thread for a model.

    Args:
        ask: Asks the model; may raise.
        load: Makes the model ready; None if it is.

    Attributes:
        late: Number of answers that came after nobody waited for them any more.
    """

    def __init__(self, ask: Callable[[Q], A], load: Callable[[], None] | None = None) -> None:
        self.late = 0
        self._ask, self._load = ask, load
        self._missing = NO_MODEL if load is not None else ""
        self._question: Asked[Q, A] | None = None
        self._task: Callable[[], None] | None = None
        self._busy_since_s: float | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    @property
    def missing(self) -> str:
        """Why there is no model; empty if there is one."""
        return self._missing

    def start(self) -> None:
        """Starts the thread, which loads the model."""
        self._thread.start()

    def ask(self, question: Q) -> Asked[Q, A]:
        """Asks a question; one of before that still waits for its turn is not asked any more. For one thread."""
        with self._changed:
            if self._missing:
                return Asked(question, reason=self._missing, settled=True)
            self._question = asked = Asked[Q, A](question)
            self._changed.notify_all()
            return asked

    def wait(self, asked: Asked[Q, A], until_s: float) -> bool:
        """Waits for what becomes of a question, until a time of the monotonic clock; returns whether it is known."""
        with self._changed:
            while not asked.settled and (left_s := until_s - time.monotonic()) > 0:
                self._changed.wait(left_s)
            return asked.settled

    def give_up(self, asked: Asked[Q, A]) -> bool:
        """Wants no answer to a question any more; returns whether one has come before that."""
        with self._changed:
            asked.abandoned = not asked.settled
            if self._question is asked:
                self._question = None
            return asked.settled

    def do(self, task: Callable[[], None]) -> None:
        """Has something done between two questions; a task that still waits is replaced. It must not raise."""
        with self._changed:
            self._task = task
            self._changed.notify_all()

    def stuck(self) -> str:
        """Returns why no answer can be expected any more; empty while there is hope."""
        since_s, most_s = self._busy_since_s, LONGEST_LOAD_S if self._missing else STUCK_S
        if since_s is None or time.monotonic() - since_s <= most_s:
            return ""
        return f"the model has not answered for {time.monotonic() - since_s:.1f} s; expected at most {most_s:g} s"

    def close(self, timeout_s: float = 1.0) -> None:
        """Ends the thread after the present question; waits for that for a while."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        self._busy_since_s = time.monotonic()
        try:
            if self._load is not None:
                self._load()
            self._missing = ""
        except BaseException as error:  # whatever it is, the answers without the model go on
            self._missing = f"{CANNOT_LOAD}: {named(error)}"
        with _inference() if not self._missing else nullcontext():
            while self._next():
                pass

    def _next(self) -> bool:
        """Does what comes next; returns False at the end."""
        with self._changed:
            self._busy_since_s = None
            self._changed.wait_for(lambda: self._closing or self._task or self._question)
            if self._closing:
                return False
            self._busy_since_s = time.monotonic()
            task, self._task = self._task, None
            asked = None
            if task is None:
                asked, self._question = self._question, None
        if task is not None:
            task()
        if asked is not None:
            self._settle(asked)
        return True

    def _settle(self, asked: Asked[Q, A]) -> None:
        answer, reason = None, ""
        try:
            answer = self._ask(asked.question)
        except BaseException as error:  # the next question may be better
            reason = reason_of(error)
        with self._changed:
            self.late += asked.abandoned
            asked.answer, asked.reason, asked.settled = answer, reason, True
            self._changed.notify_all()


ForecastRunner = ModelRunner[Question, Forecast]


def _inference() -> AbstractContextManager[object]:
    """Computing without a thought of gradients, where the model that was loaded has brought PyTorch."""
    torch = sys.modules.get("torch")
    return nullcontext() if torch is None else torch.inference_mode()
