from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from perception.geometry import SE2
from perception.traffic.scenario import ROAD_USERS, AgentKind
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.messages import (
    LABEL_OF_KIND,
    READERS,
    path_headings,
    predicted_objects_of,
    status_of,
    tick_of,
    tracked_objects_of,
)
from perception_nodes.forecasting.tick import Tick
from perception_nodes.ros.cdr import write_tracked_objects
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import (
    DETECTIONS,
    FORECAST_STATUS,
    TRACKED_OBJECTS,
    deserialize,
    header,
    make,
    serialize,
)
from perception_nodes.ros.objects import Label, OrientationAvailability

MakeTick = Callable[..., Tick]


def with_uuids(tick: Tick) -> Tick:
    return replace(tick, ids=tuple(str(UUID(int=7 + row)) for row in range(len(tick))))


def test_a_tick_is_the_same_after_a_message(make_tick: MakeTick) -> None:
    tick = with_uuids(make_tick(3))
    back = tick_of(tracked_objects_of(tick, np.ones((len(tick), 2))), tick.city_SE2_ego)
    assert (back.stamp_ns, back.ids, back.city_SE2_ego) == (tick.stamp_ns, tick.ids, tick.city_SE2_ego)
    np.testing.assert_array_equal(back.position, tick.position)
    np.testing.assert_allclose(back.heading, tick.heading, atol=1e-15)
    np.testing.assert_array_equal(back.size, tick.size)
    assert back.kinds.tolist() == [AgentKind.VEHICLE] * 3 + [AgentKind.STATIC]  # cones are hazards there


def test_every_road_user_keeps_its_kind(make_tick: MakeTick) -> None:
    tick = replace(with_uuids(make_tick(0, cars=4)), kinds=np.array(ROAD_USERS))
    assert tick_of(tracked_objects_of(tick, np.zeros((5, 2))), SE2(0.0, 0.0, 0.0)).kinds.tolist() == [*ROAD_USERS]


def test_every_label_is_some_kind_and_an_unknown_one_is_unknown(make_tick: MakeTick) -> None:
    count = len(Label) + 1
    objects = tracked_objects_of(make_tick(0, cars=count - 1), np.zeros((count, 2)))
    kinds = tick_of(replace(objects, class_labels=np.arange(count, dtype=np.uint8)), SE2(0.0, 0.0, 0.0)).kinds
    assert kinds[[Label.TRUCK, Label.ANIMAL, -1]].tolist() == [AgentKind.VEHICLE, AgentKind.UNKNOWN, AgentKind.UNKNOWN]
    assert set(LABEL_OF_KIND) <= set(AgentKind)


def test_an_object_without_a_front_faces_the_way_it_moves(make_tick: MakeTick) -> None:
    tick = make_tick(0)
    objects = tracked_objects_of(tick, np.array([[5.0, 0], [-5.0, 0], [-5.0, 0], [0, 0]]))
    sure, unsure = OrientationAvailability.AVAILABLE, OrientationAvailability.SIGN_UNKNOWN
    objects = replace(objects, orientation_availability=np.array([unsure, unsure, sure, unsure], dtype=np.uint8))
    turned = tick_of(objects, tick.city_SE2_ego).heading - tick.heading
    np.testing.assert_allclose(turned, [0, np.pi, 0, 0], atol=1e-12)


def test_ids_that_are_no_uuids_become_the_same_ones_every_time(make_tick: MakeTick) -> None:
    first, second = (tracked_objects_of(make_tick(step), np.zeros((4, 2))).ids for step in (0, 1))
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first, axis=0)) == 4


def test_poses_of_a_path_face_the_way_they_go_and_keep_it_while_they_stand() -> None:
    path = np.array([[0.0, 0.01], [0.0, 1.0], [0.0, 2.0], [-1.0, 2.0], [-1.0, 2.02]])
    headings = path_headings(np.zeros((1, 2)), np.array([0.3]), path[None, None])
    np.testing.assert_allclose(headings[0, 0], [0.3, np.pi / 2, np.pi / 2, np.pi, np.pi])


@pytest.fixture
def result(make_tick: MakeTick) -> ForecastResult:
    tick = with_uuids(make_tick(2))
    trajectories = tick.position[:, None, None] + np.arange(1.0, 6.0)[:, None] * np.ones((4, 2, 5, 2))
    probabilities = np.tile([0.75, 0.25], (4, 1))
    details = {"model_id": "m", "valid": True, "reason": "", "age_ms": 3.5, "latency_ms": 1.5, "dropped_since_last": 2}
    return ForecastResult(tick.stamp_ns, tick, np.ones((4, 2)), trajectories, probabilities, **details)


def test_a_result_is_a_message_with_all_its_futures(result: ForecastResult) -> None:
    tick, trajectories = result.objects, result.trajectories
    message = predicted_objects_of(result, frame_id="city")
    assert (message.stamp_ns, message.frame_id, message.sound.all()) == (tick.stamp_ns, "city", True)
    assert message.path_counts.tolist() == [2] * 4
    assert set(message.path_time_steps_ns.tolist()) == {100_000_000}
    np.testing.assert_array_equal(message.path_poses[:, :2], trajectories.reshape(-1, 2))
    np.testing.assert_allclose(message.velocities, np.ones((4, 2)))
    np.testing.assert_allclose(message.path_poses[:, 5], np.sin(np.pi / 8))
    assert message.path_confidences.tolist() == [0.75, 0.25] * 4
    nobody = np.zeros(0, dtype=np.int64)
    empty = replace(result, objects=tick.take(nobody), velocity=np.zeros((0, 2)), trajectories=np.zeros((0, 0, 0, 2)))
    assert len(predicted_objects_of(replace(empty, probabilities=np.zeros((0, 0))))) == 0


def test_a_status_says_how_a_result_came_about(result: ForecastResult) -> None:
    status = deserialize(serialize(status_of(result, frame_id="city"), FORECAST_STATUS), FORECAST_STATUS)
    assert status.header.stamp.sec * 10**9 + status.header.stamp.nanosec == result.stamp_ns
    assert (status.header.frame_id, status.model_id, status.valid) == ("city", "m", True)
    assert (status.latency_ms, status.age_ms, status.dropped_since_last) == (1.5, 3.5, 2)


@pytest.mark.parametrize("stamp_ns", [-1, 2**62, 2**80])
def test_a_status_of_an_impossible_time_can_be_sent(result: ForecastResult, stamp_ns: int) -> None:
    status = status_of(replace(result, stamp_ns=stamp_ns, valid=False))
    back = deserialize(serialize(status, FORECAST_STATUS), FORECAST_STATUS)
    assert (back.header.stamp.sec, back.header.stamp.nanosec, back.valid) == (0, 0, False)


def test_tracked_objects_are_a_tick_once_the_ego_is_known(make_tick: Callable[..., Tick]) -> None:
    tick = make_tick(3)
    sent = bytes(write_tracked_objects(tracked_objects_of(tick, np.zeros((len(tick), 2)), frame_id="odom")))
    sensed = READERS[TRACKED_OBJECTS](sent)
    assert (sensed.stamp_ns, sensed.frame_id, sensed.complaint) == (tick.stamp_ns, "odom", "")
    assert np.isnan(sensed.unposed.city_SE2_ego.x_m)
    posed = sensed.at(tick.city_SE2_ego)
    assert posed.city_SE2_ego == tick.city_SE2_ego
    np.testing.assert_array_equal(posed.position, tick.position)


def test_detections_bring_their_frame_and_their_complaint() -> None:
    place = {
        "position": make("geometry_msgs/msg/Point", x=1.0, y=2.0, z=0.0),
        "orientation": make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
    }
    size = make("geometry_msgs/msg/Vector3", x=4.0, y=2.0, z=1.5)
    box = make("vision_msgs/msg/BoundingBox3D", center=make("geometry_msgs/msg/Pose", **place), size=size)
    about = header(7, "map")
    both = [make("vision_msgs/msg/Detection3D", header=about, results=[], bbox=box, id=name) for name in ("a", "")]
    sensed = READERS[DETECTIONS](serialize(make(DETECTIONS, header=about, detections=both), DETECTIONS))
    assert (sensed.stamp_ns, sensed.frame_id, sensed.unposed.ids) == (7, "map", ("a",))
    assert sensed.complaint == (
        "1 of 2 detections have no id; send what a tracker gives; "
        "classes that are not known, of objects that are not forecast: ''"
    )


@pytest.mark.parametrize("kind", READERS)
def test_rubbish_is_malformed(kind: str) -> None:
    with pytest.raises(MalformedMessage):
        READERS[kind](b"\x00\x01\x00\x00rubbish")
