from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from perception.geometry import SE2
from perception_nodes.forecasting.tick import EGO_ID, Reason, Tick, TrackedMotion, UnusableTick

MakeTick = Callable[..., Tick]
FINE = Reason.NONE


def usable(tick: Tick, max_objects: int = 10) -> tuple[str, ...]:
    return tick.take(tick.screened(max_objects).rows).ids


@pytest.mark.parametrize("nonsense", [np.nan, np.inf, -np.inf, 1e300])
def test_an_object_with_nonsense_numbers_is_not_for_the_model_but_stays(make_tick: MakeTick, nonsense: float) -> None:
    for name in ("position", "heading", "size"):
        tick = make_tick(0)
        broken = getattr(tick, name).copy()
        broken[1] = nonsense
        tick = replace(tick, **{name: broken})
        assert usable(tick) == ("car0", "car2", "cone")
        assert tick.screened(10).reasons.tolist() == [FINE, Reason.BROKEN_FIELD, FINE, FINE]
        assert len(tick.placed()) == (3 if name == "position" else 4)


def test_a_negative_size_is_not_for_the_model_but_stays(make_tick: MakeTick) -> None:
    tick = make_tick(0)
    tick = replace(tick, size=tick.size * [[1], [-1], [1], [1]])
    assert usable(tick) == ("car0", "car2", "cone")
    assert tick.placed() is tick


def test_an_unknown_kind_value_is_not_for_the_model(make_tick: MakeTick) -> None:
    tick = replace(make_tick(0), kinds=np.array([0, 10, -1, 7]))
    assert usable(tick) == ("car0", "cone")
    assert tick.screened(10).reasons.tolist() == [FINE, Reason.BROKEN_FIELD, Reason.BROKEN_FIELD, FINE]


def test_the_order_is_that_of_the_ids_and_a_repeated_id_counts_once(make_tick: MakeTick) -> None:
    tick = replace(make_tick(0), ids=("b", "c", "b", "a"))
    assert tick.screened(10).rows.tolist() == [3, 0, 1]
    assert tick.screened(10).reasons.tolist() == [FINE, FINE, Reason.REPEATED_ID, FINE]


def test_objects_without_an_id_are_not_for_the_model(make_tick: MakeTick) -> None:
    tick = replace(make_tick(0), ids=("", "c", "", "a"))
    assert usable(tick) == ("a", "c")
    assert tick.screened(10).reasons.tolist() == [Reason.NO_ID, FINE, Reason.NO_ID, FINE]


def test_a_broken_object_does_not_take_the_id_of_a_sound_one(make_tick: MakeTick) -> None:
    tick = replace(make_tick(0), ids=("a", "a", "b", "c"), heading=np.array([np.nan, 0.0, 0.0, 0.0]))
    assert tick.screened(10).rows.tolist() == [1, 2, 3]


def test_a_tracked_ego_is_not_for_the_model(make_tick: MakeTick) -> None:
    tick = replace(make_tick(0), ids=("a", EGO_ID, "b", "c"))
    assert usable(tick) == ("a", "b", "c")
    assert tick.screened(10).reasons.tolist() == [FINE, Reason.REPEATED_ID, FINE, FINE]


def test_of_too_many_objects_the_nearest_are_for_the_model(make_tick: MakeTick) -> None:
    tick = make_tick(0, cars=2000)
    assert usable(tick, 5) == ("car0", "car1", "car2", "car3", "car4")
    reasons = tick.screened(5).reasons
    assert reasons.tolist() == [FINE] * 5 + [Reason.LIMIT] * 1996
    assert len(tick.placed()) == 2001


@pytest.mark.parametrize("stamp_ns", [0, -1, -(2**70), 2**63])
def test_a_tick_without_a_time_is_refused(make_tick: MakeTick, stamp_ns: int) -> None:
    with pytest.raises(UnusableTick, match=f"got {stamp_ns}"):
        make_tick(0, stamp_ns=stamp_ns).placed()


@pytest.mark.parametrize("pose", [(np.nan, 0.0, 0.0), (0.0, np.inf, 0.0), (0.0, 0.0, np.nan), (1e9, 0.0, 0.0)])
def test_a_tick_without_an_ego_keeps_its_objects(make_tick: MakeTick, pose: tuple) -> None:
    tick = replace(make_tick(0), city_SE2_ego=SE2(*pose))
    assert (tick.has_ego, make_tick(0).has_ego) == (False, True)
    assert len(tick.placed()) == len(tick)
    assert len(tick.screened(2).rows) == 2


def test_an_empty_tick_is_a_tick(make_tick: MakeTick) -> None:
    nobody = make_tick(0).take(np.array([], dtype=int))
    assert len(nobody.placed()) == 0
    assert (len(nobody.screened(10).rows), len(nobody.screened(10).reasons)) == (0, 0)


def test_what_a_tracker_says_stays_with_its_object(make_tick: MakeTick) -> None:
    numbers = np.arange(4.0)
    motion = TrackedMotion(np.stack([numbers, -numbers], axis=1), 2 * numbers, numbers > 1, numbers > 2)
    rows = np.array([3, 0])
    taken = replace(make_tick(0), motion=motion).take(rows).motion
    assert taken is not None
    assert taken.velocity.tolist() == [[3.0, -3.0], [0.0, 0.0]]
    assert (taken.turn_rate.tolist(), taken.front_known.tolist()) == ([6.0, 0.0], [True, False])
    assert taken.stationary.tolist() == [True, False]
    assert taken.axis_known is None
    axis_known = replace(motion, axis_known=numbers > 0).take(rows).axis_known
    assert axis_known is not None
    assert axis_known.tolist() == [True, False]
