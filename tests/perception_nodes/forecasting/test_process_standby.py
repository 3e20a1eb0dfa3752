"""Two nodes on the same topics, of which one stands by."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.plan import ForecastPlan
from perception_nodes.forecasting.process import ForecastingProcess
from perception_nodes.forecasting.tick import Tick
from perception_nodes.ros.topics import RosNode, open_session
from perception_nodes.ros.wire import RmwZenoh

PERIOD_S = 0.1
Running = Callable[..., Any]
Configured = Callable[..., ForecastingNode]


@contextmanager
def spare_node(
    place: str, plan: ForecastPlan, node: ForecastingNode, deadline_ms: float
) -> Iterator[ForecastingProcess]:
    """A standby of the node `ego`, in a session of its own."""
    own = replace(plan, standby_of="ego", silence_s=1.0, deadline_ms=deadline_ms)
    with (
        open_session(connect=[place], listen=["tcp/127.0.0.1:0"]) as session,
        RosNode(session, RmwZenoh(node="spare")) as ros,
        ForecastingProcess(node, ros, own) as process,
    ):
        yield process


def drive(tracker: Any, make_tick: Callable[..., Tick], steps: Iterable[int]) -> list[Any]:
    """Sends ticks in real time; returns all statuses that came meanwhile."""
    states = []
    for step in steps:
        tracker.send(make_tick(step))
        time.sleep(PERIOD_S)
    while not tracker.states.empty():
        states.append(tracker.state())
    return states


@pytest.mark.usefixtures("sessions")
def test_a_standby_answers_while_its_primary_is_silent_and_steps_back(
    place: str, plan: ForecastPlan, running: Running, configured: Configured, make_tick: Callable[..., Tick]
) -> None:
    primary = configured()
    with running(primary) as (process, tracker):
        tracker.meet(make_tick(0))
        with spare_node(place, plan, configured(), deadline_ms=400.0) as spare:
            tracker.state(lambda state: state.node == "ego")
            drive(tracker, make_tick, range(1, 21))
            before = drive(tracker, make_tick, range(21, 31))
            assert spare.ready() == ""
            assert "follows ego, which answers" in {status.message for status in spare.statuses()}
            hush(process, silent=True)
            drive(tracker, make_tick, range(31, 36))
            first = tracker.state(lambda state: state.node == "spare" and state.valid)
            steps = iter(range(36, 400))
            silent = drive(tracker, make_tick, islice(steps, 14))
            while not any(state.source == "model" for state in silent):  # on a busy machine
                silent += drive(tracker, make_tick, islice(steps, 5))
            hush(process, silent=False)
            drive(tracker, make_tick, islice(steps, 10))
            after = drive(tracker, make_tick, islice(steps, 10))
    assert {state.node for state in before} == {"ego"}
    assert first.reason == "the other node has not answered"
    assert {state.node for state in silent if state.valid} == {"spare"}
    assert {state.node for state in after} == {"ego"}


@pytest.mark.usefixtures("sessions")
def test_a_standby_asks_its_model_about_what_is_still_due(
    place: str, plan: ForecastPlan, running: Running, configured: Configured, make_tick: Callable[..., Tick]
) -> None:
    with running(configured()) as (process, tracker):
        tracker.meet(make_tick(0))
        with spare_node(place, plan, configured(), deadline_ms=10e3):
            drive(tracker, make_tick, range(1, 21))
            hush(process, silent=True)
            drive(tracker, make_tick, range(21, 26))
            first = tracker.state(lambda state: state.node == "spare" and state.valid)
    assert (first.source, first.reason) == ("model", "")


def hush(process: Any, *, silent: bool) -> None:
    """Stops a process from publishing, as if it had been killed, or lets it publish again."""
    for name in ("_forecasts", "_status"):
        publisher = getattr(process, name)
        if silent:
            publisher.put = lambda _cdr: None
        else:
            del publisher.put


def test_a_standby_without_a_primary_answers(
    running: Running, configured: Configured, make_tick: Callable[..., Tick]
) -> None:
    with running(configured(), standby_of="other") as (_, tracker):
        tracker.meet(make_tick(0))
        tracker.send(make_tick(1))
        assert tracker.state_of(make_tick(1)).source == "model"
