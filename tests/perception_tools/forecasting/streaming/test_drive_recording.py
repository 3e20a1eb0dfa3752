from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.well_known import MessageEncoding, Profile, SchemaEncoding
from mcap_ros2.decoder import DecoderFactory
from rerun.chunk import McapReader

from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.recordings.reader import read_recording
from perception_nodes.ros.cdr import read_predicted_objects, read_tracked_objects
from perception_nodes.ros.messages import FORECAST_STATUS, deserialize
from perception_tools.forecasting.streaming.drive import Drive, open_drive
from perception_tools.forecasting.streaming.drive_recording import (
    EGO,
    INPUT,
    LOG,
    MAP,
    OUTPUT,
    STATUS,
    digest,
    digest_of_recording,
    recording,
)
from perception_tools.forecasting.streaming.playback import ReplayClock, play_lockstep

MakeNode = Callable[[], tuple[ForecastingNode, ReplayClock]]


@pytest.fixture(scope="module")
def drive(sensor_log: Path) -> Drive:
    return open_drive(sensor_log)


def test_a_recording_holds_map_inputs_valid_answers_and_how_each_frame_went(
    tmp_path: Path, drive: Drive, make_replay_node: MakeNode
) -> None:
    frames = drive.frames
    late, path = [*frames[:5], frames[3], *frames[5:8]], tmp_path / "new" / "out.mcap"
    with recording(path, drive) as record:
        results = play_lockstep(*make_replay_node(), late, record)
    assert [result.valid for result in results] == [True] * 5 + [False] + [True] * 3
    recorded = {t.name: list(read_recording(path, [t.name])) for t in (MAP, INPUT, LOG, OUTPUT, STATUS)}
    assert {name: len(messages) for name, messages in recorded.items()} == {
        MAP.name: 1,
        INPUT.name: 9,
        LOG.name: 9,
        OUTPUT.name: 8,
        STATUS.name: 9,
    }
    status = [deserialize(message.cdr, FORECAST_STATUS) for message in recorded[STATUS.name]]
    assert sum(not message.valid for message in status) == 1
    assert [message.stamp_ns for message in recorded[OUTPUT.name]] == [frame.stamp_ns for frame in frames[:8]]
    first = read_predicted_objects(recorded[OUTPUT.name][0].cdr)
    assert len(first) == len(results[0].objects)
    sent = np.arange(results[0].trajectories.shape[1]) < results[0].mode_counts[:, None]
    steps = results[0].trajectories.shape[2]
    poses = first.path_poses[:, :2].reshape(-1, 1 + steps, 2)
    np.testing.assert_array_equal(poses[:, 1:], results[0].trajectories[sent])
    np.testing.assert_array_equal(poses[:, 0], results[0].objects.position[np.nonzero(sent)[0]])
    tracked = read_tracked_objects(recorded[INPUT.name][1].cdr)
    assert len(tracked) == len(frames[1])
    np.testing.assert_allclose(tracked.velocities[0], results[1].velocity[0], atol=1e-9)
    assert digest_of_recording(path) == digest(results)


def test_foxgloves_own_decoder_reads_every_message_by_what_the_file_says(
    tmp_path: Path, drive: Drive, make_replay_node: MakeNode
) -> None:
    """Profile and encodings are those of https://mcap.dev/spec/registry, and an index lets it seek."""
    with recording(tmp_path / "a.mcap", drive) as record:
        results = play_lockstep(*make_replay_node(), drive.frames, record)
    with (tmp_path / "a.mcap").open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        assert reader.get_header().profile == Profile.ROS2
        about = reader.get_summary()
        messages = [(channel.topic, message) for _, channel, _, message in reader.iter_decoded_messages()]
    assert about is not None
    assert about.statistics is not None
    assert about.statistics.message_count == len(messages) == 1 + 5 * 30
    assert {schema.encoding for schema in about.schemas.values()} == {SchemaEncoding.ROS2}
    assert {channel.message_encoding for channel in about.channels.values()} == {MessageEncoding.CDR}
    assert {channel.topic for channel in about.channels.values()} == {
        t.name for t in (MAP, EGO, INPUT, LOG, OUTPUT, STATUS)
    }
    assert all(chunk.message_index_offsets for chunk in about.chunk_indexes)
    assert about.statistics.chunk_count == len(about.chunk_indexes) > 0
    last: Any = [message for topic, message in messages if topic == OUTPUT.name][-1]
    row = results[-1].by_model[0]
    path = last.objects[row].kinematics.predicted_paths[2].path
    future = [(pose.position.x, pose.position.y) for pose in path[1:]]
    np.testing.assert_array_equal(future, results[-1].trajectories[row, 2])


def test_rerun_opens_a_recording_and_decodes_every_message(
    tmp_path: Path, drive: Drive, make_replay_node: MakeNode
) -> None:
    with recording(tmp_path / "a.mcap", drive) as record:
        play_lockstep(*make_replay_node(), drive.frames, record)
    decoded: Counter[str] = Counter()
    for chunk in McapReader(tmp_path / "a.mcap").stream():
        rows = chunk.to_record_batch()
        for name in rows.schema.names:
            if name.endswith(":message"):
                decoded[name.removesuffix(":message")] += len(rows) - rows[name].null_count
    types = {topic.type.replace("/", "."): 30 for topic in (EGO, INPUT, LOG, OUTPUT, STATUS)}
    assert decoded == {**types, MAP.type.replace("/", "."): 1}


def test_runs_say_the_same_and_whatever_is_said_otherwise_shows(drive: Drive, make_replay_node: MakeNode) -> None:
    def play() -> list[ForecastResult]:
        return play_lockstep(*make_replay_node(), drive.frames, lambda *_: None)

    digests, results = {digest(play()) for _ in range(3)}, play()
    assert len(digests) == 1
    moved = [replace(result, trajectories=result.trajectories + 1e-6) for result in results]
    assert digest(moved) not in digests
    assert digest(results[1:]) not in digests
    unanswered = [*results, replace(results[-1], valid=False, reason="broken")]
    assert digest(unanswered) in digests
