from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception_nodes.forecasting.node import ForecastingNode, ForecastResult
from perception_nodes.recordings.recording import read_recording
from perception_nodes.ros.cdr import read_predicted_objects, read_tracked_objects
from perception_nodes.ros.messages import FORECAST_STATUS, deserialize
from perception_tools.streaming.drive import Drive, open_drive
from perception_tools.streaming.drive_recording import (
    INPUT,
    MAP,
    OUTPUT,
    STATUS,
    digest,
    digest_of_recording,
    recording,
)
from perception_tools.streaming.playback import ReplayClock, play_lockstep

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
    recorded = {t.name: list(read_recording(path, [t.name])) for t in (MAP, INPUT, OUTPUT, STATUS)}
    assert {name: len(messages) for name, messages in recorded.items()} == {
        MAP.name: 1,
        INPUT.name: 9,
        OUTPUT.name: 8,
        STATUS.name: 9,
    }
    status = [deserialize(message.cdr, FORECAST_STATUS) for message in recorded[STATUS.name]]
    assert sum(not message.valid for message in status) == 1
    assert [message.stamp_ns for message in recorded[OUTPUT.name]] == [frame.stamp_ns for frame in frames[:8]]
    first = read_predicted_objects(recorded[OUTPUT.name][0].cdr)
    assert len(first) == len(results[0].objects)
    np.testing.assert_array_equal(first.path_poses[:, :2], results[0].trajectories.reshape(-1, 2))
    tracked = read_tracked_objects(recorded[INPUT.name][1].cdr)
    assert len(tracked) == len(frames[1])
    np.testing.assert_allclose(tracked.velocities[0], results[1].velocity[0], atol=1e-9)
    assert digest_of_recording(path) == digest(results)


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
