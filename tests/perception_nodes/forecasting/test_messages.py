import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.geometry import SE2, SE3
from perception.traffic.scenario import ROAD_USERS, AgentKind
from perception_nodes.forecasting.answer import ForecastResult, Source
from perception_nodes.forecasting.messages import (
    READERS,
    predicted_objects_of,
    status_of,
    tick_of,
    tracked_objects_of,
)
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.tick import Reason, Tick
from perception_nodes.ros.cdr import read_predicted_objects, write_predicted_objects, write_tracked_objects
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import (
    DETECTIONS,
    FORECAST_STATUS,
    PREDICTED_OBJECTS,
    TRACKED_OBJECTS,
    deserialize,
    header,
    make,
    serialize,
    typestore,
)
from perception_nodes.ros.objects import Label, OrientationAvailability, TrackedObjects

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


def test_a_tick_has_the_headings_that_were_sent_and_what_they_are_worth(make_tick: MakeTick) -> None:
    tick = make_tick(0)
    objects = tracked_objects_of(tick, np.array([[5.0, 0], [-5.0, 0], [-5.0, 0], [0, 0]]))
    availability = np.array([*OrientationAvailability, 7], dtype=np.uint8)
    back = tick_of(replace(objects, orientation_availability=availability), tick.city_SE2_ego)
    np.testing.assert_allclose(back.heading, tick.heading, atol=1e-12)
    assert back.motion is not None
    assert back.motion.axis_known is not None
    assert back.motion.axis_known.tolist() == [False, True, True, False]
    assert back.motion.front_known.tolist() == [False, False, True, False]
    np.testing.assert_allclose(back.motion.velocity, [[5.0, 0], [-5.0, 0], [-5.0, 0], [0, 0]], atol=1e-12)


@pytest.mark.parametrize("availability", OrientationAvailability)
def test_a_broken_quaternion_breaks_a_heading_only_where_it_would_say_something(
    make_tick: MakeTick, availability: OrientationAvailability
) -> None:
    tick = with_uuids(make_tick(0))
    objects = tracked_objects_of(tick, np.ones((4, 2)))
    objects.poses[1, 3:] = np.nan
    back = tick_of(replace(objects, orientation_availability=np.full(4, availability, np.uint8)), tick.city_SE2_ego)
    unusable = availability != OrientationAvailability.UNAVAILABLE
    assert np.isnan(back.heading).tolist() == [False, unusable, False, False]
    assert len(back.placed()) == 4
    assert len(back.screened(10).rows) == (3 if unusable else 4)


def test_ids_that_are_no_uuids_become_the_same_ones_every_time(make_tick: MakeTick) -> None:
    first, second = (tracked_objects_of(make_tick(step), np.zeros((4, 2))).ids for step in (0, 1))
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first, axis=0)) == 4


def answer_to(tick: Tick, mode_counts: list[int] | None = None, modes: int = 2, steps: int = 5) -> ForecastResult:
    """An answer in which every object goes north-east, with probabilities of 3/4 and 1/4 for two modes."""
    count = len(tick)
    trajectories = tick.position[:, None, None] + np.arange(1.0, steps + 1)[:, None] * np.ones((count, modes, steps, 2))
    none = np.zeros(count, np.int64)
    return ForecastResult(
        stamp_ns=tick.stamp_ns,
        objects=tick,
        velocity=np.ones((count, 2)),
        trajectories=trajectories,
        probabilities=np.tile(np.array([0.75, 0.25, 0.0, 0.0, 0.0, 0.0])[:modes], (count, 1)),
        mode_counts=none + modes if mode_counts is None else np.array(mode_counts, np.int64),
        sources=none,
        reasons=none,
        left_out=0,
        model_id="m",
        valid=True,
        reason="",
        age_ms=3.5,
        latency_ms=1.5,
        dropped_since_last=2,
    )


@pytest.fixture
def result(make_tick: MakeTick) -> ForecastResult:
    return answer_to(with_uuids(make_tick(2)))


def test_a_result_is_a_message_with_all_its_futures_from_the_present_on(result: ForecastResult) -> None:
    tick, trajectories = result.objects, result.trajectories
    message = predicted_objects_of(result, frame_id="city")
    assert (message.stamp_ns, message.frame_id, message.sound.all()) == (tick.stamp_ns, "city", True)
    assert message.path_counts.tolist() == [2] * 4
    assert set(message.path_time_steps_ns.tolist()) == {100_000_000}
    paths = message.path_poses.reshape(4, 2, 6, 7)
    np.testing.assert_array_equal(paths[:, :, 0], np.repeat(message.poses[:, None], 2, axis=1))
    np.testing.assert_array_equal(paths[:, :, 1:, :2], trajectories)
    np.testing.assert_allclose(message.velocities, np.ones((4, 2)))
    np.testing.assert_allclose(paths[:, :, 1:, 5], np.sin(np.pi / 8))
    assert message.path_confidences.tolist() == [0.75, 0.25] * 4


def test_every_object_has_its_own_number_of_futures(make_tick: MakeTick) -> None:
    result = answer_to(with_uuids(make_tick(2)), mode_counts=[2, 0, 1, 2])
    message = predicted_objects_of(result)
    assert message.path_counts.tolist() == [2, 0, 1, 2]
    assert message.path_confidences.tolist() == [0.75, 0.25, 0.75, 0.75, 0.25]
    ends = message.path_poses.reshape(5, 6, 7)[:, -1, :2]
    np.testing.assert_array_equal(ends, result.trajectories[[0, 0, 2, 3, 3], [0, 1, 0, 0, 1], -1])
    nobody = answer_to(make_tick(2).take(np.zeros(0, np.int64)))
    assert len(predicted_objects_of(nobody)) == 0
    assert len(predicted_objects_of(answer_to(make_tick(2).take(np.zeros(0, np.int64)), modes=0))) == 0


def with_any_numbers(objects: TrackedObjects, seed: int) -> TrackedObjects:
    """Puts random bits into every field that need not be a number for an object to be kept: NaN, infinities, all."""
    rng = np.random.default_rng(seed)
    fields = ("existence", "class_probabilities", "pose_covariances", "twists", "twist_covariances", "accelerations")
    fields += ("acceleration_covariances", "footprints", "dimensions", "poses")
    changed = {}
    for name in fields:
        values = getattr(objects, name).copy()
        bits = np.frombuffer(rng.bytes(values.nbytes), values.dtype).reshape(values.shape)
        changed[name] = np.where(rng.random(values.shape) < 0.5, bits, values)
    changed["poses"][:, :2] = objects.poses[:, :2]
    return replace(objects, **changed)


def parts_of(message: Any, moments: str = "") -> list[list[bytes | float]]:
    """All that a message says of each object but its paths and what Autoware's predicted objects have no field for."""
    names = ("pose_with_covariance", "twist_with_covariance", "acceleration_with_covariance")
    types = ("PoseWithCovariance", "TwistWithCovariance", "AccelWithCovariance")
    return [
        [
            one.object_id.uuid.tobytes(),
            np.float32(one.existence_probability).tobytes(),
            *(bytes([each.label]) + np.float32(each.probability).tobytes() for each in one.classification),
            *(
                serialize(getattr(one.kinematics, moments + name), f"geometry_msgs/msg/{kind}")
                for name, kind in zip(names, types, strict=True)
            ),
            serialize(one.shape, "autoware_perception_msgs/msg/Shape"),
        ]
        for one in message.objects
    ]


@settings(max_examples=40)
@given(
    lists=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=5),
    seed=st.integers(0, 2**32 - 1),
    wild=st.booleans(),
)
def test_what_the_tracker_said_goes_out_byte_for_byte(
    make_tracked: Callable[..., TrackedObjects], lists: list, seed: int, wild: bool
) -> None:
    classes, corners = zip(*lists, strict=True) if lists else ((), ())
    objects = make_tracked(seed, classes, corners, "odom")
    sent = bytes(write_tracked_objects(with_any_numbers(objects, seed) if wild else objects))
    tick = READERS[TRACKED_OBJECTS](sent).at(SE2(0.0, 0.0, 0.0))
    counts = np.random.default_rng(seed).integers(1, 7, len(tick)).tolist()
    cdr = bytes(write_predicted_objects(predicted_objects_of(answer_to(tick.placed(), counts, modes=6))))
    came, went = deserialize(sent, TRACKED_OBJECTS), deserialize(cdr, PREDICTED_OBJECTS)
    assert went.header == came.header
    assert parts_of(went, "initial_") == parts_of(came)
    assert [len(one.kinematics.predicted_paths) for one in went.objects] == counts
    assert np.isfinite(read_predicted_objects(cdr).path_poses).all()


def test_a_truck_that_may_be_a_bus_goes_out_as_one(make_tracked: Callable[..., TrackedObjects]) -> None:
    objects = replace(
        make_tracked(classes=(3, 1), corners=(0, 0)),
        existence=np.array([0.7, 1.0], np.float32),
        class_labels=np.array([Label.TRUCK, Label.BUS, Label.UNKNOWN, Label.TRAILER], np.uint8),
        class_probabilities=np.array([0.6, 0.3, 0.1, 0.9], np.float32),
    )
    message = predicted_objects_of(answer_to(tick_of(objects, SE2(0.0, 0.0, 0.0))))
    assert message.class_labels.tolist() == [Label.TRUCK, Label.BUS, Label.UNKNOWN, Label.TRAILER]
    assert message.class_probabilities.tolist() == np.array([0.6, 0.3, 0.1, 0.9], np.float32).tolist()
    assert message.existence.tolist() == np.array([0.7, 1.0], np.float32).tolist()


def test_nobody_vanishes_between_the_messages(make_tracked: Callable[..., TrackedObjects]) -> None:
    """Every label, every broken field, no ids, and more than the model's limit: as many objects go out as came."""
    count = len(Label) + 9
    objects = make_tracked(0, (1,) * count, (0,) * count)
    objects.class_labels[:] = [*Label, *[Label.CAR] * 9]
    objects.ids[-1] = 0
    broken = {
        "poses": 3,
        "dimensions": 0,
        "twists": 0,
        "pose_covariances": 0,
        "accelerations": 5,
        "twist_covariances": 1,
    }
    for row, (name, column) in enumerate(broken.items(), start=len(Label)):
        getattr(objects, name)[row, column] = np.nan
    objects.dimensions[-3] = -1.0
    objects.poses[-2, 3:] = 0.0
    tick = READERS[TRACKED_OBJECTS](bytes(write_tracked_objects(objects))).at(SE2(0.0, 0.0, 0.0))
    assert len(tick.placed().screened(3).rows) == 3
    cdr = write_predicted_objects(predicted_objects_of(answer_to(tick.placed())))
    np.testing.assert_array_equal(read_predicted_objects(cdr).ids, objects.ids)


def test_every_object_of_two_thousand_has_a_future_without_a_model(make_tracked: Callable[..., TrackedObjects]) -> None:
    objects = make_tracked(0, (1,) * 2000, (0,) * 2000)
    objects.poses[:7, 3:], objects.dimensions[5:9], objects.twists[8:20] = np.nan, -1.0, np.nan
    node = ForecastingNode(clock=lambda: objects.stamp_ns)
    node.configure(None, history_steps=5, model_id="m", horizon_steps=60)
    node.activate()
    sensed = READERS[TRACKED_OBJECTS](bytes(write_tracked_objects(objects)))
    result = node.step(sensed.at(SE2(0.0, 0.0, 0.0)))
    message = read_predicted_objects(write_predicted_objects(predicted_objects_of(result)))
    np.testing.assert_array_equal(message.ids, objects.ids)
    assert (message.path_counts == 1).all()
    assert (message.pose_counts == 61).all()
    assert np.isfinite(message.path_poses).all()
    status = status_of(result)
    assert (status.objects_forecast, status.objects_by_model, status.objects_left_out) == (2000, 0, 0)
    assert 0 not in status.object_reasons


def test_two_thousand_objects_take_milliseconds(make_tracked: Callable[..., TrackedObjects]) -> None:
    """From message to message 25 ms of CPU time with both cores busy; held loosely, to catch a loop over poses."""
    objects = make_tracked(0, (1,) * 2000, (0,) * 2000)
    sent = bytes(write_tracked_objects(objects))

    def through() -> float:
        started = time.process_time()
        tick = READERS[TRACKED_OBJECTS](sent).at(SE2(0.0, 0.0, 0.0)).placed()
        tick.screened(256)
        read_s = time.process_time() - started
        result = answer_to(tick, modes=1, steps=60)
        started = time.process_time()
        write_predicted_objects(predicted_objects_of(result))
        return read_s + time.process_time() - started

    assert min(through() for _ in range(5)) < 0.1


def test_velocities_that_a_detector_does_not_say_are_the_nodes() -> None:
    tick = READERS[DETECTIONS](serialize(detections(("a", "")), DETECTIONS)).at(SE2(0.0, 0.0, 0.0))
    assert tick.motion is None
    message = predicted_objects_of(answer_to(tick))
    np.testing.assert_allclose(message.velocities, np.ones((2, 2)))
    assert message.poses[:, 2].tolist() == [0.5, 0.5]
    assert message.class_labels.tolist() == [Label.TRUCK, Label.TRUCK]


def test_a_status_says_how_a_result_came_about(result: ForecastResult) -> None:
    result = replace(
        result,
        sources=np.array([Source.MODEL, Source.AT_REST, Source.MODEL, Source.CONSTANT_TURN]),
        reasons=np.array([Reason.NONE, Reason.NO_ID, Reason.NONE, Reason.LIMIT]),
        left_out=3,
    )
    status = deserialize(serialize(status_of(result, frame_id="city", node="b"), FORECAST_STATUS), FORECAST_STATUS)
    assert status.header.stamp.sec * 10**9 + status.header.stamp.nanosec == result.stamp_ns
    assert (status.header.frame_id, status.model_id, status.valid, status.node) == ("city", "m", True, "b")
    assert (status.latency_ms, status.age_ms, status.dropped_since_last) == (1.5, 3.5, 2)
    assert (status.source, status.reason) == ("model", "")
    assert (status.objects_forecast, status.objects_by_model, status.objects_left_out) == (4, 2, 3)
    assert status.object_sources.tolist() == [0, 3, 0, 1]
    assert status.object_reasons.tolist() == [0, 9, 0, 6]


def test_a_status_is_in_the_frame_of_its_objects(make_tick: MakeTick) -> None:
    objects = tracked_objects_of(make_tick(1), np.zeros((4, 2)), frame_id="odom")
    assert status_of(answer_to(tick_of(objects, SE2(0.0, 0.0, 0.0)))).header.frame_id == "odom"


def test_a_long_reason_is_cut(result: ForecastResult) -> None:
    assert len(status_of(replace(result, valid=False, reason="x" * 10_000)).reason) == 500


@pytest.mark.parametrize(("prefix", "enum"), [("SOURCE_", Source), ("REASON_", Reason)])
def test_the_numbers_of_a_status_are_those_of_its_definition(prefix: str, enum: type[Source] | type[Reason]) -> None:
    constants = {name: value for name, _, value in typestore().fielddefs[FORECAST_STATUS][0]}
    own = {name.removeprefix(prefix): value for name, value in constants.items() if name.startswith(prefix)}
    assert own == {member.name: member.value for member in enum}


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


def detections(ids: tuple[str, ...], word: str = "truck") -> Any:
    """A message of boxes with these ids, 0.5 m high, that face north-west."""
    about = header(7, "map")
    turn = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=np.sin(3 * np.pi / 8), w=np.cos(3 * np.pi / 8))
    center = make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", x=1.0, y=2.0, z=0.5),
        orientation=turn,
    )
    box = make("vision_msgs/msg/BoundingBox3D", center=center, size=make("geometry_msgs/msg/Vector3", x=4, y=2, z=1.5))
    hypothesis = make(
        "vision_msgs/msg/ObjectHypothesisWithPose",
        hypothesis=make("vision_msgs/msg/ObjectHypothesis", class_id=word, score=0.5),
        pose=make("geometry_msgs/msg/PoseWithCovariance", pose=center, covariance=np.eye(6).reshape(-1)),
    )
    found = [make("vision_msgs/msg/Detection3D", header=about, results=[hypothesis], bbox=box, id=name) for name in ids]
    return make(DETECTIONS, header=about, detections=found)


def test_detections_bring_their_frame_and_their_complaint() -> None:
    sensed = READERS[DETECTIONS](serialize(detections(("a", ""), "unicorn"), DETECTIONS))
    assert (sensed.stamp_ns, sensed.frame_id, sensed.unposed.ids) == (7, "map", ("a", ""))
    assert sensed.complaint == (
        "1 of 2 detections have no id; send what a tracker gives; "
        "classes that are not known, of objects that the model does not forecast: 'unicorn'"
    )


@pytest.mark.parametrize("kind", READERS)
def test_sensed_objects_come_into_another_frame_with_all_that_is_known(
    make_tracked: Callable[..., TrackedObjects], kind: str
) -> None:
    if kind == TRACKED_OBJECTS:
        sent = bytes(write_tracked_objects(make_tracked(3)))
    else:
        sent = serialize(detections(("a", ""), "traffic cone"), DETECTIONS)
    sensed = READERS[kind](sent)
    quarter = SE3(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([10.0, 20.0, 30.0]))
    moved = sensed.transformed("map", quarter)
    here, there = sensed.unposed, moved.unposed
    assert (moved.frame_id, there.ids, there.kinds.tolist()) == ("map", here.ids, here.kinds.tolist())
    expected = np.column_stack([10 - here.position[:, 1], 20 + here.position[:, 0]])
    np.testing.assert_allclose(there.position, expected, atol=1e-9)
    np.testing.assert_allclose(np.exp(1j * there.heading), 1j * np.exp(1j * here.heading), atol=1e-9)
    assert there.sent is not None
    assert (there.sent.frame_id, there.motion is None) == ("map", here.motion is None)
    if here.motion is not None:
        assert there.motion is not None
        turned = np.column_stack([-here.motion.velocity[:, 1], here.motion.velocity[:, 0]])
        np.testing.assert_allclose(there.motion.velocity, turned, atol=1e-9)


@pytest.mark.parametrize("kind", READERS)
def test_rubbish_is_malformed(kind: str) -> None:
    with pytest.raises(MalformedMessage):
        READERS[kind](b"\x00\x01\x00\x00rubbish")
