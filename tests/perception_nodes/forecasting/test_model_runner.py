from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from perception_nodes.forecasting.model_runner import ModelRunner
from perception_nodes.forecasting.node import NO_MODEL

LONG_S = 60.0


@contextmanager
def started(ask: Callable[[int], int], load: Callable[[], None] | None = None) -> Iterator[ModelRunner[int, int]]:
    runner = ModelRunner[int, int](ask, load)
    runner.start()
    try:
        yield runner
    finally:
        runner.close(LONG_S)


def answer(runner: ModelRunner[int, int], question: int, seconds: float = LONG_S) -> tuple[int | None, str]:
    asked = runner.ask(question)
    runner.wait(asked, time.monotonic() + seconds)
    runner.give_up(asked)
    return asked.answer, asked.reason


def test_questions_are_answered_in_a_thread_of_its_own_without_gradients(eventually: Callable[..., None]) -> None:
    def ask(question: int) -> int:
        assert threading.current_thread().name == "model"
        assert torch.is_inference_mode_enabled()
        return 2 * question

    with started(ask) as runner:
        eventually(lambda: not runner.missing)
        assert [answer(runner, number) for number in range(5)] == [(2 * number, "") for number in range(5)]
    assert runner.late == 0


def test_an_answer_that_nobody_waits_for_is_counted_and_the_newest_question_is_next() -> None:
    hold, seen = threading.Event(), []

    def ask(question: int) -> int:
        seen.append(question)
        hold.wait(LONG_S)
        return question

    with started(ask) as runner:
        assert answer(runner, 1, 0.05) == (None, "")
        assert answer(runner, 2, 0.05) == (None, "")
        asked = runner.ask(3)
        hold.set()
        assert runner.wait(asked, time.monotonic() + LONG_S)
        assert asked.answer == 3
        assert seen == [1, 3]
        assert runner.late == 1


def test_waiting_ends_at_its_time() -> None:
    hold = threading.Event()
    with started(lambda question: question if hold.wait(LONG_S) else 0) as runner:
        asked, begin_s = runner.ask(1), time.monotonic()
        assert not runner.wait(asked, begin_s + 0.1)
        assert time.monotonic() - begin_s >= 0.1
        assert not runner.wait(asked, begin_s), "a time that is over is not waited for"
        hold.set()
        assert runner.wait(asked, time.monotonic() + LONG_S)
        assert runner.give_up(asked), "it has come just in time"
        assert runner.late == 0


@pytest.mark.parametrize("kind", [ValueError, MemoryError, SystemExit, KeyboardInterrupt])
def test_whatever_a_model_raises_the_next_question_is_answered(kind: type[BaseException]) -> None:
    def ask(question: int) -> int:
        if question == 0:
            raise kind("no")
        return question

    with started(ask) as runner:
        assert answer(runner, 0) == (None, f"the model failed: {kind.__name__}: no")
        assert answer(runner, 1) == (1, "")


def test_until_the_model_is_loaded_questions_come_back_at_once(eventually: Callable[..., None]) -> None:
    loaded = threading.Event()
    with started(lambda question: question, lambda: None if loaded.wait(LONG_S) else None) as runner:  # noqa: RUF034
        assert answer(runner, 1) == (None, NO_MODEL)
        loaded.set()
        eventually(lambda: not runner.missing)
        assert answer(runner, 1) == (1, "")


def test_a_model_that_cannot_be_loaded_is_told_at_every_question(eventually: Callable[..., None]) -> None:
    def load() -> None:
        raise OSError("gone")

    with started(lambda question: question, load) as runner:
        eventually(lambda: runner.missing != NO_MODEL)
        assert answer(runner, 1) == (None, "the model cannot be loaded: OSError: gone")


def test_tasks_are_done_between_questions_the_newest_of_those_that_wait(eventually: Callable[..., None]) -> None:
    hold, done = threading.Event(), []
    with started(lambda question: question if hold.wait(LONG_S) else 0) as runner:
        asked = runner.ask(1)
        eventually(lambda: runner.stuck() == "" and runner._busy_since_s is not None)
        for number in range(3):
            runner.do(lambda number=number: done.append(number))
        hold.set()
        assert runner.wait(asked, time.monotonic() + LONG_S)
        assert answer(runner, 2) == (2, "")
        assert done == [2]


def test_a_model_that_is_stuck_is_told(monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]) -> None:
    monkeypatch.setattr("perception_nodes.forecasting.model_runner.STUCK_S", 0.05)
    hold = threading.Event()
    with started(lambda question: question if hold.wait(LONG_S) else 0) as runner:
        assert runner.stuck() == ""
        runner.ask(1)
        eventually(runner.stuck)
        assert "the model has not answered for 0." in runner.stuck()
        hold.set()
        eventually(lambda: not runner.stuck())
