"""Faults injected into streams, and ticks of arbitrary numbers."""

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.encoders.vectornet.views import View
from perception.geometry import SE2
from perception.models.forecaster import Forecaster
from perception.traffic.map_index import MapIndex
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.node import ForecastingNode, ForecastingSettings
from perception_nodes.forecasting.tick import Tick

MakeTick = Callable[..., Tick]
MakeModel = Callable[..., Forecaster]
MakeNode = Callable[..., ForecastingNode]
Answer = Callable[..., ForecastResult]
Compare = Callable[[ForecastResult, ForecastResult], None]
STEPS = 6
FEW = ForecastingSettings(max_forecasts=8, min_history_steps=1)


Fault = Callable[[list[Tick], MakeTick], list[Tick]]
FAULTS: dict[str, Fault] = {
    "drop": lambda ticks, _: ticks[:3] + ticks[4:],
    "duplicate": lambda ticks, _: [tick for tick in ticks for _ in range(2)],
    "reorder": lambda ticks, _: [*ticks[:2], ticks[4], ticks[2], ticks[3], *ticks[5:]],
    "delay": lambda ticks, _: [*ticks[:2], *ticks[3:5], ticks[2], *ticks[5:]],
    "delay beyond the history": lambda ticks, _: [*ticks[:2], *ticks[3:], ticks[2], *ticks[-1:]],
    "jump": lambda ticks, _: [replace(tick, position=tick.position + 5e3 * (i == 3)) for i, tick in enumerate(ticks)],
    "ego jump": lambda ticks, _: [
        replace(tick, city_SE2_ego=SE2(9e5, -9e5, 3.0)) if i == 3 else tick for i, tick in enumerate(ticks)
    ],
    "NaN": lambda ticks, _: [
        replace(tick, position=tick.position * (np.nan if i == 3 else 1)) for i, tick in enumerate(ticks)
    ],
    "inf": lambda ticks, _: [
        replace(tick, heading=tick.heading + (np.inf if i == 3 else 0)) for i, tick in enumerate(ticks)
    ],
    "no ego pose": lambda ticks, _: [
        replace(tick, city_SE2_ego=SE2(np.nan, 0.0, 0.0)) if i == 3 else tick for i, tick in enumerate(ticks)
    ],
    "huge time": lambda ticks, make: [*ticks[:3], make(0, stamp_ns=2**62), *ticks[3:]],
    "time beyond 64 bits": lambda ticks, make: [*ticks[:3], make(0, stamp_ns=2**80), *ticks[3:]],
    "negative time": lambda ticks, make: [*ticks[:3], make(0, stamp_ns=-5), *ticks[3:]],
    "clock step back": lambda ticks, make: [make(1000 + step) for step in range(8)] + ticks,
    "clock step forward": lambda ticks, make: [make(-1000 + step) for step in range(8)] + ticks,
    "2,000 agents": lambda ticks, make: [*ticks[:3], make(3, cars=2000), *ticks[4:]],
    "nobody": lambda ticks, _: [*ticks[:3], ticks[3].take(np.zeros(0, dtype=int)), *ticks[4:]],
}


@pytest.fixture(scope="module", params=get_args(View))
def faultless(
    active: MakeNode,
    answer_of_a_fresh_node: Answer,
    request: pytest.FixtureRequest,
    make_tick: MakeTick,
    lanes: MapIndex,
) -> tuple[ForecastingNode, list[Tick], ForecastResult]:
    """A node with one of the views, a stream for it, and the answer to the stream's last tick."""
    ticks = [make_tick(step) for step in range(4 * STEPS)]
    return active(lanes, request.param), ticks, answer_of_a_fresh_node(ticks, lanes, request.param)


@pytest.mark.parametrize("fault", FAULTS)
def test_once_the_history_is_whole_again_a_fault_leaves_no_trace(
    assert_equal: Compare,
    make_tick: MakeTick,
    faultless: tuple[ForecastingNode, list[Tick], ForecastResult],
    fault: str,
) -> None:
    node, ticks, expected = faultless
    node.deactivate()  # which forgets the ticks of the fault before
    node.activate()
    results = [node.step(tick) for tick in FAULTS[fault](ticks, make_tick)]
    assert_equal(next(r for r in reversed(results) if r.source == "model"), expected)
    assert all(r.valid or not len(r.objects) for r in results)
    assert all(np.isfinite(r.trajectories).all() for r in results)
    assert all(r.reason for r in results if not r.valid)


numbers = st.floats(width=64) | st.floats(-100, 100)
stamps = st.integers(-(2**70), 2**70) | st.integers(0, 30).map(
    lambda step: 1_700_000_000_000_000_000 + step * 50_000_000
)


@pytest.fixture(scope="module")
def one_node(active: MakeNode, lanes: MapIndex) -> ForecastingNode:
    return active(lanes)


@settings(deadline=None, max_examples=25)
@given(
    ticks=st.lists(
        st.tuples(
            stamps,
            st.tuples(numbers, numbers, numbers),
            st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-2, 12), st.tuples(*[numbers] * 6)), max_size=5),
        ),
        max_size=12,
    )
)
def test_whatever_the_numbers_are_a_tick_is_answered_or_refused_with_a_reason(
    one_node: ForecastingNode, ticks: list
) -> None:
    node = one_node
    node.deactivate()  # which forgets the ticks of the example before
    node.activate()
    for stamp_ns, pose, objects in ticks:
        values = np.array([numbers for _, _, numbers in objects]).reshape(-1, 6)
        ids, kinds = tuple(name for name, _, _ in objects), np.array([kind for _, kind, _ in objects], dtype=np.int64)
        tick = Tick(stamp_ns, SE2(*pose), ids, kinds, values[:, :2], values[:, 2], values[:, 3:])
        result = node.step(tick)
        assert result.valid or (result.reason and not len(result.objects))
        assert np.isfinite(result.trajectories).all()
        assert np.isfinite(result.velocity).all()
        assert set(result.objects.ids) <= set(ids)
