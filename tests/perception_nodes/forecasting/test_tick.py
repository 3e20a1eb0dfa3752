from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from perception.geometry import SE2
from perception_nodes.forecasting.tick import EGO_ID, Tick, UnusableTick

MakeTick = Callable[..., Tick]


@pytest.mark.parametrize("nonsense", [np.nan, np.inf, -np.inf, 1e300])
def test_an_object_with_nonsense_numbers_is_left_out_and_the_others_stay(make_tick: MakeTick, nonsense: float) -> None:
    for name in ("position", "heading", "size"):
        tick = make_tick(0)
        broken = getattr(tick, name).copy()
        broken[1] = nonsense
        assert replace(tick, **{name: broken}).screened(10).ids == ("car0", "car2", "cone")


def test_an_unknown_kind_value_is_left_out(make_tick: MakeTick) -> None:
    tick = make_tick(0)
    assert replace(tick, kinds=np.array([0, 10, -1, 7])).screened(10).ids == ("car0", "cone")


def test_the_order_is_that_of_the_ids_and_a_repeated_id_stands_once(make_tick: MakeTick) -> None:
    tick = replace(make_tick(0), ids=("b", "c", "b", "a"))
    screened = tick.screened(10)
    assert screened.ids == ("a", "b", "c")
    np.testing.assert_array_equal(screened.position, tick.position[[3, 0, 1]])


def test_a_tracked_ego_is_left_out(make_tick: MakeTick) -> None:
    assert replace(make_tick(0), ids=("a", EGO_ID, "b", "c")).screened(10).ids == ("a", "b", "c")


def test_of_too_many_objects_the_nearest_stay(make_tick: MakeTick) -> None:
    tick = make_tick(0, cars=2000)
    screened = tick.screened(5)
    assert screened.ids == ("car0", "car1", "car2", "car3", "car4")


@pytest.mark.parametrize("stamp_ns", [0, -1, -(2**70), 2**63])
def test_a_tick_without_a_time_is_refused(make_tick: MakeTick, stamp_ns: int) -> None:
    with pytest.raises(UnusableTick, match=f"got {stamp_ns}"):
        make_tick(0, stamp_ns=stamp_ns).screened(10)


@pytest.mark.parametrize("pose", [(np.nan, 0.0, 0.0), (0.0, np.inf, 0.0), (0.0, 0.0, np.nan), (1e9, 0.0, 0.0)])
def test_a_tick_without_a_place_is_refused(make_tick: MakeTick, pose: tuple) -> None:
    with pytest.raises(UnusableTick, match="finite ego pose"):
        replace(make_tick(0), city_SE2_ego=SE2(*pose)).screened(10)


def test_an_empty_tick_is_a_tick(make_tick: MakeTick) -> None:
    assert len(make_tick(0).take(np.array([], dtype=int)).screened(10)) == 0
