from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception.encoders.vectornet.input import VectorizedInput
from perception.errors import InputError
from perception_datasets.argoverse.argoverse2_sensor import read_log
from perception_nodes.forecasting.messages import odometry_of, tracked_objects_of
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.cdr import write_tracked_objects
from perception_nodes.ros.map_message import map_message
from perception_nodes.ros.messages import (
    DETECTIONS,
    LOG_TICK,
    ODOMETRY,
    POLYLINE_MAP,
    header,
    make,
    serialize,
    topic_of,
)
from perception_tools.forecasting.replay import Played, play_drive
from perception_tools.forecasting.streaming.drive import Drive, frames_of_log, open_drive
from perception_tools.forecasting.streaming.drive_recording import EGO, INPUT, MAP, digest, recording
from perception_tools.forecasting.streaming.playback import ReplayClock, play_lockstep

MakeNode = Callable[[], tuple[ForecastingNode, ReplayClock]]


@pytest.fixture(scope="module")
def drive(sensor_log: Path) -> Drive:
    return open_drive(sensor_log)


def test_a_logs_frames_are_what_its_tracker_saw(sensor_log: Path) -> None:
    log = read_log(sensor_log)
    frames = list(frames_of_log(log))
    assert len(frames) == 30
    assert [len(frame) for frame in frames] == [4] * 10 + [3] * 5 + [4] * 15
    assert frames[0].ids == log.ids[1:]
    assert frames[3].stamp_ns == 1_000_000_000 + 3 * 100_100_000
    np.testing.assert_allclose(frames[5].position[0], [500 + 5 + 12 + 1, 80])
    assert (frames[5].city_SE2_ego.x_m, frames[5].city_SE2_ego.y_m) == (505.0, 80.0)


def test_a_recording_is_a_drive_with_the_same_frames_map_and_forecasts(
    tmp_path: Path, drive: Drive, make_replay_node: MakeNode
) -> None:
    """To the bit, although Autoware has no word for the cone and a quaternion rounds a heading."""
    turned = [replace(frame, heading=frame.heading + 0.1 * np.arange(len(frame))) for frame in drive.frames]
    frames = [replace(frame, city_SE2_ego=replace(frame.city_SE2_ego, heading_rad=0.3)) for frame in turned]
    path = tmp_path / "drive.mcap"
    with recording(path, drive) as record:
        results = play_lockstep(*make_replay_node(), frames, record)
    again = open_drive(path)
    assert (again.id, again.city, again.log, len(again.frames)) == ("drive", "PIT", None, 30)
    np.testing.assert_array_equal(again.lanes.polylines.points, drive.lanes.polylines.points)
    for frame, back in zip(frames, again.frames, strict=True):
        assert (back.stamp_ns, back.city_SE2_ego, back.ids) == (frame.stamp_ns, frame.city_SE2_ego, frame.ids)
        assert back.motion is None  # the velocities in the message are the node's own
        for name in ("kinds", "position", "heading", "size"):
            np.testing.assert_array_equal(getattr(back, name), getattr(frame, name))
    assert digest(play_lockstep(*make_replay_node(), again.frames, lambda *_: None)) == digest(results)


def test_a_recording_of_a_real_log_says_the_same_bits(
    real_replay: Played, trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten ticks with cones, signs and headings of all directions."""
    monkeypatch.setattr(VectorizedInput, "warm_up_agents", lambda _self, _most: (1,))
    drive = replace(real_replay.drive, frames=real_replay.drive.frames[:10], log=None)
    first = play_drive(drive, trained_run, out=tmp_path / "a.mcap")
    again = play_drive(open_drive(tmp_path / "a.mcap"), trained_run)
    assert first.sha256 == again.sha256
    assert len(np.unique(drive.frames[0].kinds)) > 3


def test_a_recording_of_a_robots_own_recording_is_the_same_drive_again(
    tmp_path: Path, drive: Drive, make_replay_node: MakeNode
) -> None:
    robots = open_drive(record_topics(tmp_path / "robot.mcap", drive))
    assert robots.frames[0].motion is not None
    with recording(tmp_path / "again.mcap", robots) as record:
        results = play_lockstep(*make_replay_node(), robots.frames, record)
    again = open_drive(tmp_path / "again.mcap")
    assert again.frames[0].motion is not None
    assert digest(play_lockstep(*make_replay_node(), again.frames, lambda *_: None)) == digest(results)


def test_a_logs_tick_that_does_not_belong_to_its_message_is_refused(tmp_path: Path, drive: Drive) -> None:
    with Recorder(tmp_path / "a.mcap", lossless=True) as recorder:
        recorder.record(MAP, 1, serialize(map_message(drive.lanes, "PIT"), POLYLINE_MAP))
        frame = drive.frames[0]
        tracked = tracked_objects_of(frame, np.zeros((len(frame), 2)))
        recorder.record(EGO, frame.stamp_ns, serialize(odometry_of(frame), ODOMETRY))
        recorder.record(INPUT, frame.stamp_ns, write_tracked_objects(tracked))
        fewer = make(
            LOG_TICK,
            header=header(frame.stamp_ns, "map"),
            is_tracked=False,
            ego_heading=0.0,
            ids=["one"],
            kinds=np.zeros(1, np.uint8),
            headings=np.zeros(1),
        )
        recorder.record(topic_of("/replay/log_ticks", LOG_TICK), frame.stamp_ns, serialize(fewer, LOG_TICK))
    with pytest.raises(InputError, match="expected a forecast_msgs/msg/LogTick of 4 objects"):
        open_drive(tmp_path / "a.mcap")


def record_topics(path: Path, drive: Drive, odometry_every: int = 1, with_map: bool = True) -> Path:
    with Recorder(path, lossless=True) as recorder:
        if with_map:
            recorder.record(MAP, 1, serialize(map_message(drive.lanes, "PIT"), POLYLINE_MAP))
        for step, frame in enumerate(drive.frames):
            tracked = tracked_objects_of(frame, np.zeros((len(frame), 2)))
            recorder.record(INPUT, frame.stamp_ns, write_tracked_objects(tracked))
            if step % odometry_every == 0:
                late = replace(frame, stamp_ns=frame.stamp_ns + 20_000_000)
                recorder.record(EGO, frame.stamp_ns, serialize(odometry_of(late), ODOMETRY))
    return path


def test_the_nearest_ego_pose_counts_and_without_one_a_frame_has_none(tmp_path: Path, drive: Drive) -> None:
    frames = open_drive(record_topics(tmp_path / "a.mcap", drive, odometry_every=2)).frames
    has_pose = [bool(np.isfinite(frame.city_SE2_ego.x_m)) for frame in frames]
    assert has_pose == [step % 2 == 0 for step in range(30)]
    assert frames[4].city_SE2_ego.x_m == drive.frames[4].city_SE2_ego.x_m


def test_a_recording_without_a_map_is_refused_by_the_name_of_what_it_lacks(tmp_path: Path, drive: Drive) -> None:
    path = record_topics(tmp_path / "a.mcap", drive, with_map=False)
    with pytest.raises(InputError, match="expected one topic of forecast_msgs/msg/PolylineMap, found none"):
        open_drive(path)


def detections_without_boxes(stamp_ns: int, frame_id: str) -> bytes:
    return serialize(make(DETECTIONS, header=header(stamp_ns, frame_id), detections=[]), DETECTIONS)


def record_detections(path: Path, drive: Drive, frame_id: str) -> Path:
    with Recorder(path, lossless=True) as recorder:
        recorder.record(MAP, 1, serialize(map_message(drive.lanes, "PIT"), POLYLINE_MAP))
        for frame in drive.frames[:3]:
            recorder.record(EGO, frame.stamp_ns, serialize(odometry_of(frame), ODOMETRY))
            sent = detections_without_boxes(frame.stamp_ns, frame_id)
            recorder.record(topic_of("/detections", DETECTIONS), frame.stamp_ns, sent)
    return path


def test_a_recording_of_detections_is_a_drive_too(tmp_path: Path, drive: Drive) -> None:
    frames = open_drive(record_detections(tmp_path / "a.mcap", drive, "map")).frames
    assert [(frame.stamp_ns, frame.city_SE2_ego.x_m, len(frame)) for frame in frames] == [
        (frame.stamp_ns, frame.city_SE2_ego.x_m, 0) for frame in drive.frames[:3]
    ]


def test_objects_in_another_frame_than_the_ego_pose_are_refused(tmp_path: Path, drive: Drive) -> None:
    with pytest.raises(InputError, match="objects in the ego pose's frame 'map', found them in 'lidar'"):
        open_drive(record_detections(tmp_path / "a.mcap", drive, "lidar"))


def test_two_trackers_in_one_recording_are_told_apart_by_the_user(tmp_path: Path, drive: Drive) -> None:
    with Recorder(tmp_path / "two.mcap", lossless=True) as recorder:
        recorder.record(MAP, 1, serialize(map_message(drive.lanes, "PIT"), POLYLINE_MAP))
        recorder.record(EGO, 1, serialize(odometry_of(drive.frames[0]), ODOMETRY))
        for topic in (INPUT, replace(INPUT, name="/other/objects")):
            frame = drive.frames[0]
            tracked = write_tracked_objects(tracked_objects_of(frame, np.zeros((len(frame), 2))))
            recorder.record(topic, frame.stamp_ns, tracked)
    with pytest.raises(InputError, match="found /other/objects, /perception"):
        open_drive(tmp_path / "two.mcap")
