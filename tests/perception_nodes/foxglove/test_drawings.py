"""Drawings, read back by their schemas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("foxglove")

from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import MapPolylines, PolylineKind
from perception_nodes.forecasting.messages import odometry_of, tracked_objects_of
from perception_nodes.forecasting.tick import Tick
from perception_nodes.foxglove.drawings import DRAWINGS, GREY, LEAST_CONFIDENCE, SHOWN_STEPS
from perception_nodes.ros.cdr import write_predicted_objects, write_tracked_objects
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.map_message import map_message
from perception_nodes.ros.messages import ODOMETRY, POLYLINE_MAP, PREDICTED_OBJECTS, TRACKED_OBJECTS, serialize
from perception_nodes.ros.objects import PredictedObjects

Draw = Callable[[str, bytes | bytearray], Any]


@pytest.fixture
def draw(read_foxglove: Callable[[str, bytes, bytes], Any]) -> Draw:
    def drawn(kind: str, cdr: bytes | bytearray) -> Any:
        _, of, drawing = DRAWINGS[kind]
        return read_foxglove(of.get_schema().name, of.get_schema().data, drawing(bytes(cdr)).encode())

    return drawn


def test_objects_are_boxes_where_they_stand(draw: Draw, make_tick: Callable[..., Tick]) -> None:
    tick = replace(make_tick(0, cars=2), heading=np.array([0.0, np.pi / 2, -0.5]))
    cdr = write_tracked_objects(tracked_objects_of(tick, np.zeros((3, 2)), frame_id="city"))
    (entity,) = draw(TRACKED_OBJECTS, cdr).entities
    assert (entity.id, entity.frame_id, entity.lifetime.seconds) == ("objects", "city", 1)
    assert entity.timestamp.seconds * 10**9 + entity.timestamp.nanos == tick.stamp_ns
    places = [[cube.pose.position.x, cube.pose.position.y, cube.size.x, cube.size.y] for cube in entity.cubes]
    np.testing.assert_allclose(places, np.column_stack([tick.position, tick.size[:, :2]]))
    turns = [2 * np.arctan2(cube.pose.orientation.z, cube.pose.orientation.w) for cube in entity.cubes]
    np.testing.assert_allclose(turns, tick.heading, atol=1e-9)
    colours = [(cube.color.r, cube.color.g, cube.color.b) for cube in entity.cubes]
    assert colours[0] == colours[1] != colours[2]
    assert colours[2] == pytest.approx(GREY)  # the cone


def test_an_object_without_a_usable_heading_is_drawn_and_one_without_a_place_is_not(
    draw: Draw, make_tick: Callable[..., Tick]
) -> None:
    tick = make_tick(0, cars=2)
    objects = tracked_objects_of(tick, np.zeros((3, 2)))
    objects.poses[0, 3:], objects.poses[1, 0] = np.nan, np.inf
    (entity,) = draw(TRACKED_OBJECTS, write_tracked_objects(objects)).entities
    assert [cube.pose.position.y for cube in entity.cubes] == tick.position[[0, 2], 1].tolist()
    assert (entity.cubes[0].pose.orientation.z, entity.cubes[0].pose.orientation.w) == (0.0, 1.0)


def test_a_forecast_is_drawn_from_the_present_place_to_the_last(draw: Draw, make_tick: Callable[..., Tick]) -> None:
    tick = make_tick(0, cars=0)
    way = tick.position[:, None] + np.arange(1.0, 61)[:, None]
    objects = tracked_objects_of(tick, np.zeros((1, 2)))
    predicted = objects.predict(np.ones(1, np.int64), way, np.zeros((1, 60)), np.ones(1), 0.1)
    (entity,) = draw(PREDICTED_OBJECTS, write_predicted_objects(predicted)).entities
    places = [[p.x, p.y] for p in entity.lines[0].points]
    assert (places[0], places[-1], len(places)) == (tick.position[0].tolist(), way[0, -1].tolist(), 13)


def test_forecasts_are_lines_the_probable_ones_only(
    draw: Draw, make_predicted: Callable[..., PredictedObjects]
) -> None:
    objects = make_predicted(classes=(1, 1), corners=(0, 0), poses=((11, 60), (60,)))
    objects.path_confidences[:] = [0.9, LEAST_CONFIDENCE / 2, 0.3]
    (entity,) = draw(PREDICTED_OBJECTS, write_predicted_objects(objects)).entities
    assert [round(line.color.a, 3) for line in entity.lines] == [0.9, 0.3]
    assert [[p.x, p.y] for p in entity.lines[0].points] == objects.path_poses[:11:SHOWN_STEPS, :2].tolist()
    assert [[p.x, p.y] for p in entity.lines[1].points] == objects.path_poses[71::SHOWN_STEPS, :2].tolist()


def test_a_map_is_lines_that_stay(draw: Draw) -> None:
    none = np.zeros(2, dtype=np.int64)
    kinds = np.array([PolylineKind.VEHICLE_LANE, PolylineKind.CROSSWALK])
    lanes = MapPolylines(np.arange(2), np.arange(8.0).reshape(2, 2, 2), kinds, none, none > 0, none > 0)
    (entity,) = draw(POLYLINE_MAP, serialize(map_message(MapIndex(lanes), "town"), POLYLINE_MAP)).entities
    assert (entity.id, entity.lifetime.seconds, entity.lifetime.nanos) == ("map", 0, 0)
    assert [[(p.x, p.y) for p in line.points] for line in entity.lines] == [[(0, 1), (2, 3)], [(4, 5), (6, 7)]]
    assert entity.lines[0].color.a > entity.lines[1].color.a


def test_the_ego_is_a_transform(draw: Draw, make_tick: Callable[..., Tick]) -> None:
    tick = make_tick(3)
    transform = draw(ODOMETRY, serialize(odometry_of(tick), ODOMETRY))
    assert (transform.parent_frame_id, transform.child_frame_id) == ("map", "base_link")
    assert transform.translation.x == pytest.approx(tick.city_SE2_ego.x_m)
    assert 2 * np.arctan2(transform.rotation.z, transform.rotation.w) == pytest.approx(tick.city_SE2_ego.heading_rad)


@pytest.mark.parametrize("kind", DRAWINGS)
def test_what_is_no_message_is_said_so(draw: Draw, kind: str) -> None:
    with pytest.raises(MalformedMessage):
        draw(kind, b"\x00\x01\x00\x00" + b"\xff" * 30)
