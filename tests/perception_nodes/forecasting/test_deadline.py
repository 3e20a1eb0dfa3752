"""What is sent at the deadline, with a runner whose model answers when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perception.traffic.map_index import MapIndex
from perception_nodes.forecasting.deadline import PREPARED_S, SENT_S, DeadlineAnswers, KeptTick, WrittenAnswer
from perception_nodes.forecasting.messages import predicted_objects_of
from perception_nodes.forecasting.model_runner import Asked
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.question import Question
from perception_nodes.forecasting.tick import Tick
from perception_nodes.ros.cdr import write_predicted_objects

UNTIL_S = 1000.0
MakeTick = Callable[..., Tick]


class ScriptedRunner:
    """Answers after a number of waits, by the node's own model; notes the waits among the answers that are made.

    Args:
        node: Whose model answers.
        after: Number of waits after which there is an answer.
        during_last: Whether it comes after the last wait, when it is given up.
    """

    def __init__(self, node: Any, after: float, *, during_last: bool = False) -> None:
        self.events: list[Any] = []
        self._node, self._after, self._during_last = node, after, during_last
        self._finish, node.finish = node.finish, self._finish_noted

    def _finish_noted(self, *args: Any) -> Any:
        self.events.append("answer")
        return self._finish(*args)

    def ask(self, question: Question) -> Asked[Any, Any]:
        self.events.append("ask")
        return Asked(question)

    def wait(self, asked: Asked[Any, Any], until_s: float) -> bool:
        self.events.append(round(until_s - UNTIL_S, 6))
        self._after -= 1
        if self._after <= 0:
            self._settle(asked)
        return asked.settled

    def give_up(self, asked: Asked[Any, Any]) -> bool:
        if self._during_last:
            self._settle(asked)
        return asked.settled

    def _settle(self, asked: Asked[Any, Any]) -> None:
        asked.answer, asked.settled = self._node.ask(asked.question), True


@pytest.fixture
def node(active: Callable[..., ForecastingNode], lanes: MapIndex, make_tick: MakeTick) -> ForecastingNode:
    """A node that has lost two ticks since its last answer."""
    node = active(lanes)
    node.step(make_tick(0))
    return node


def answered(node: ForecastingNode, runner: Any, tick: Tick) -> WrittenAnswer:
    kept = KeptTick(node.receive(tick), "map", 0.0)
    answer = DeadlineAnswers(node, runner, 80.0).answer(kept, UNTIL_S)
    assert answer.cdr == write_predicted_objects(predicted_objects_of(answer.result))
    return answer


def test_an_answer_in_time_is_the_models_and_nothing_is_prepared(node: ForecastingNode, make_tick: MakeTick) -> None:
    runner = ScriptedRunner(node, after=1)
    answer = answered(node, runner, make_tick(3))
    assert (answer.result.source, answer.result.reason, answer.result.dropped_since_last) == ("model", "", 2)
    assert runner.events == ["ask", -PREPARED_S, "answer"]


def test_at_the_deadline_nothing_is_left_to_do_but_to_send_what_was_prepared(
    node: ForecastingNode, make_tick: MakeTick
) -> None:
    runner = ScriptedRunner(node, after=float("inf"))
    answer = answered(node, runner, make_tick(3))
    assert (answer.result.source, answer.result.reason) == ("fallback", "the model took longer than 80 ms")
    assert (answer.result.valid, answer.result.dropped_since_last) == (True, 2)
    assert runner.events == ["ask", -PREPARED_S, "answer", -SENT_S]


@pytest.mark.parametrize("during_last", [False, True])
def test_an_answer_that_comes_after_the_other_was_prepared_is_the_one_that_is_sent(
    node: ForecastingNode, make_tick: MakeTick, during_last: bool
) -> None:
    runner = ScriptedRunner(node, after=float("inf") if during_last else 2, during_last=during_last)
    answer = answered(node, runner, make_tick(3))
    assert (answer.result.source, answer.result.reason, answer.result.dropped_since_last) == ("model", "", 2)
    following = node.step(make_tick(4))
    assert following.dropped_since_last == 0


def test_without_a_question_the_answer_does_not_wait(node: ForecastingNode, make_tick: MakeTick) -> None:
    runner: Any = ScriptedRunner(node, after=1)
    repeated = DeadlineAnswers(node, runner, 80.0).answer(KeptTick(node.receive(make_tick(0)), "map", 0.0), UNTIL_S)
    assert (repeated.result.valid, repeated.cdr, runner.events) == (False, b"", ["answer"])
