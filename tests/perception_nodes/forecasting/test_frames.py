from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from perception.geometry import SE2, SE3
from perception_nodes.forecasting.frames import MapFrame
from perception_nodes.forecasting.messages import SensedObjects, odometry_of, tick_of, tracked_objects_of
from perception_nodes.forecasting.tick import Tick
from perception_nodes.ros.messages import ODOMETRY, serialize
from perception_nodes.ros.transforms import NoTransform

MakeTick = Callable[..., Tick]


def sensed(tick: Tick, frame_id: str = "map", velocity: tuple[float, float] = (0.0, 0.0)) -> SensedObjects:
    """The objects of a tick as a tracker sends them."""
    objects = tracked_objects_of(tick, np.tile(velocity, (len(tick), 1)), frame_id=frame_id)
    return SensedObjects(tick_of(objects, SE2(np.nan, np.nan, np.nan)), frame_id)


def odometry(tick: Tick, frame_id: str = "map") -> bytes:
    return serialize(odometry_of(tick, frame_id=frame_id), ODOMETRY)


def test_objects_of_the_map_stay_where_they_are_and_get_the_ego_pose(make_tick: MakeTick) -> None:
    frames = MapFrame()
    frames.take_odometry(odometry(make_tick(0)))
    frames.take_odometry(odometry(make_tick(1)))
    between = make_tick(0.5)
    placed = frames.place(sensed(between))
    assert (placed.frame_id, placed.no_pose) == ("map", "")
    assert placed.tick.city_SE2_ego.x_m == pytest.approx(between.city_SE2_ego.x_m)
    np.testing.assert_array_equal(placed.tick.position, between.position)


def test_objects_of_the_ego_are_moved_into_the_map(make_tick: MakeTick) -> None:
    frames, tick = MapFrame(), make_tick(10)
    frames.take_odometry(odometry(tick))
    own = replace(tick, position=tick.position - [10.0, 0.0])
    placed = frames.place(sensed(own, "base_link", velocity=(1.0, 2.0)))
    np.testing.assert_allclose(placed.tick.position, tick.position)
    assert placed.tick.motion is not None
    np.testing.assert_allclose(placed.tick.motion.velocity, np.tile([1.0, 2.0], (4, 1)), atol=1e-12)


def test_a_turned_frame_turns_positions_headings_and_velocities(make_tick: MakeTick) -> None:
    tick = make_tick(0)
    quarter = SE3(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([100.0, 0.0, 5.0]))
    turned = sensed(tick, "lidar", velocity=(1.0, 0.0)).transformed("map", quarter).unposed
    np.testing.assert_allclose(turned.position, np.column_stack([100 - tick.position[:, 1], tick.position[:, 0]]))
    np.testing.assert_allclose(turned.heading, tick.heading + np.pi / 2)
    assert turned.motion is not None
    np.testing.assert_allclose(turned.motion.velocity, np.tile([0.0, 1.0], (4, 1)), atol=1e-12)


def test_without_a_pose_objects_of_the_map_are_placed_and_others_are_refused(make_tick: MakeTick) -> None:
    frames = MapFrame()
    frames.take_map_frame("map")
    placed = frames.place(sensed(make_tick(0)))
    assert not placed.tick.has_ego
    assert placed.no_pose.startswith("no transform from 'base_link' to 'map'")
    with pytest.raises(NoTransform, match="from 'lidar' to 'map'"):
        frames.place(sensed(make_tick(0), "lidar"))


def test_the_frame_of_the_map_is_the_maps_word_and_else_the_odometrys(make_tick: MakeTick) -> None:
    frames = MapFrame()
    assert frames.place(sensed(make_tick(0), "world")).frame_id == "world"
    frames.take_odometry(odometry(make_tick(0), "odom"))
    assert frames.place(sensed(make_tick(0), "odom")).frame_id == "odom"
    frames.take_map_frame("map")
    placed_or_not = pytest.raises(NoTransform, match="from 'odom' to 'map'")
    with placed_or_not:
        frames.place(sensed(make_tick(0), "odom"))
