from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.interfaces import ConnectionExtRosbag2, QosDurability, QosHistory, QosReliability

from perception.errors import InputError
from perception_nodes.recordings import recording
from perception_nodes.recordings.reader import read_recording
from perception_nodes.recordings.recording import Recorder
from perception_nodes.recordings.recovery import recover
from perception_nodes.ros.cdr import read_predicted_objects, write_predicted_objects
from perception_nodes.ros.messages import FORECAST_STATUS, PREDICTED_OBJECTS, make, serialize, type_hash
from perception_nodes.ros.objects import PredictedObjects
from perception_nodes.ros.wire import LATCHED, Topic

FORECASTS = Topic("/forecasts", PREDICTED_OBJECTS, type_hash(PREDICTED_OBJECTS))
STATUS = Topic("/forecasts/status", FORECAST_STATUS, type_hash(FORECAST_STATUS), LATCHED)
TEXT = Topic("/chat", "std_msgs/msg/String", type_hash("std_msgs/msg/String"))


def say(text: str) -> bytes:
    return serialize(make("std_msgs/msg/String", data=text), "std_msgs/msg/String")


def status(number: int) -> bytes:
    stamp = make("builtin_interfaces/msg/Time", sec=0, nanosec=number)
    header = make("std_msgs/msg/Header", stamp=stamp, frame_id="map")
    fields = {"latency_ms": 1.5, "age_ms": 2.5, "dropped_since_last": number, "model_id": "m", "valid": True}
    fields |= {"node": "ego", "source": "model", "reason": "", "objects_left_out": 0}
    fields |= {"objects_forecast": 1, "objects_by_model": 1}
    each = {"object_sources": np.zeros(1, np.uint8), "object_reasons": np.zeros(1, np.uint8)}
    return serialize(make(FORECAST_STATUS, header=header, **fields, **each), FORECAST_STATUS)


@pytest.fixture
def recorded(make_predicted: Callable[..., PredictedObjects], tmp_path: Path) -> tuple[Path, list[bytearray]]:
    """A finished recording of three forecasts with their states."""
    forecasts = [write_predicted_objects(make_predicted(seed)) for seed in range(3)]
    with Recorder(tmp_path / "a.mcap", lossless=True) as recorder:
        for number, forecast in enumerate(forecasts):
            recorder.record(FORECASTS, 100 * number, forecast)
            recorder.record(STATUS, 100 * number + 1, status(number))
    assert recorder.state == recording.RecorderState(written=6, dropped=0, error=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mcap"]
    return tmp_path / "a.mcap", forecasts


def test_a_recording_reads_back_as_it_was_written(recorded: tuple[Path, list[bytearray]]) -> None:
    path, forecasts = recorded
    messages = list(read_recording(path))
    assert [message.topic for message in messages] == ["/forecasts", "/forecasts/status"] * 3
    assert [message.stamp_ns for message in messages] == [0, 1, 100, 101, 200, 201]
    assert [message.cdr for message in messages[::2]] == forecasts
    assert {message.type for message in messages[1::2]} == {FORECAST_STATUS}
    assert [message.cdr for message in read_recording(path, ["/forecasts"])] == forecasts


def test_rosbags_reads_a_recording_by_the_definitions_in_the_file(recorded: tuple[Path, list[bytearray]]) -> None:
    path, forecasts = recorded
    with AnyReader([path]) as reader:  # without our types
        decoded: list[Any] = [reader.deserialize(cdr, c.msgtype) for c, _, cdr in reader.messages()]
        about = {connection.topic: connection.ext for connection in reader.connections}
    expected = read_predicted_objects(forecasts[0])
    assert decoded[0].header.frame_id == expected.frame_id
    assert decoded[0].objects[0].kinematics.predicted_paths[0].path[1].position.x == expected.path_poses[1, 0]
    assert [message.dropped_since_last for message in decoded[1::2]] == [0, 1, 2]
    status_about = about["/forecasts/status"]
    assert isinstance(status_about, ConnectionExtRosbag2)
    (offered,) = status_about.offered_qos_profiles
    assert (offered.durability, offered.depth) == (QosDurability.TRANSIENT_LOCAL, 1)
    assert (offered.history, offered.reliability) == (QosHistory.KEEP_LAST, QosReliability.RELIABLE)


def test_mcaps_own_reader_reads_a_recording(recorded: tuple[Path, list[bytearray]]) -> None:
    path, forecasts = recorded
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        messages = list(reader.iter_messages(topics=["/forecasts"]))
        summary = reader.get_summary()
    assert [message.data for _, _, message in messages] == forecasts
    schema, channel, _ = messages[0]
    assert schema is not None
    assert (schema.name, schema.encoding, channel.message_encoding) == (PREDICTED_OBJECTS, "ros2msg", "cdr")
    assert channel.metadata["topic_type_hash"] == FORECASTS.type_hash
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count == 6


def test_the_same_messages_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with Recorder(tmp_path / name, lossless=True) as recorder:
            for number in range(300):
                recorder.record(TEXT, number, say("x" * number * 10))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


WRITER = """
import sys, time
from pathlib import Path
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.wire import Topic
recorder = Recorder(Path(sys.argv[1]))
topic = Topic("/chat", "std_msgs/msg/String", "RIHS01_0")
for number in range(10**9):
    recorder.record(topic, number, b"\\0\\1\\0\\0" + number.to_bytes(4, "little") + b"\\0" * 200)
    print(number, flush=True)
    time.sleep(0.002)
"""


def test_all_but_the_last_moment_survives_kill_9(tmp_path: Path) -> None:
    """Small messages, so that a chunk waits for time instead of size."""
    path = tmp_path / "killed.mcap"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout)
        recorded = 1 + next(number for number in map(int, lines) if number >= 600)
        process.send_signal(signal.SIGKILL)
        recorded += sum(line.endswith("\n") for line in lines)
    assert not path.exists()
    partial = tmp_path / "killed.mcap.partial"
    with pytest.raises(InputError, match="perception mcap recover"):
        list(read_recording(partial))
    saved = recover(partial, path)
    messages = list(read_recording(path))
    print(f"\nkill -9: {recorded} messages recorded, {saved.messages} saved")
    assert [message.stamp_ns for message in messages] == list(range(saved.messages))
    assert recorded - 2.0 / 0.002 < saved.messages <= recorded  # half a second, and a busy machine
    assert saved.messages > 0
    assert not saved.complete


class FullDisk(io.FileIO):
    """A file on a disk with limited room."""

    def __init__(self, path: Path, room: int) -> None:
        super().__init__(path, "xb")
        self._room = room

    def write(self, data: Any) -> int:
        if self._room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(bytes(data)[: self._room])
        self._room -= written
        return written


def fill_the_disk_after(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_create", lambda path: io.BufferedWriter(FullDisk(path, room)))


def test_a_full_disk_ends_the_recording_and_not_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_the_disk_after(100_000, monkeypatch)
    noise = os.urandom(50_000)
    recorder = Recorder(tmp_path / "full.mcap")
    end = time.monotonic() + 60
    number = 0
    while recorder.state.error is None:
        assert time.monotonic() < end
        recorder.record(TEXT, number, noise)
        number += 1
        time.sleep(0.002)
    recorder.record(TEXT, number, noise)
    recorder.close()
    state = recorder.state
    assert "No space left on device" in str(state.error)
    assert state.dropped >= 1
    assert not (tmp_path / "full.mcap").exists()
    assert (tmp_path / "full.mcap.partial").stat().st_size <= 100_000


def test_a_full_disk_at_the_very_end_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_the_disk_after(100, monkeypatch)
    recorder = Recorder(tmp_path / "full.mcap")
    recorder.record(TEXT, 0, say("hello"))
    recorder.close()
    assert "No space left on device" in str(recorder.state.error)
    assert not (tmp_path / "full.mcap").exists()


def test_replay_is_told_of_a_full_disk_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_the_disk_after(100, monkeypatch)
    recorder = Recorder(tmp_path / "full.mcap", lossless=True)
    recorder.record(TEXT, 0, say("hello"))
    with pytest.raises(InputError, match=r"full\.mcap: cannot be written \(No space left on device\); free some space"):
        recorder.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="No space left on device"):
        recorder.record(TEXT, 1, say("hello"))


class SlowDisk(io.FileIO):
    """A file that blocks until it is released."""

    def __init__(self, path: Path, let_go: threading.Event) -> None:
        super().__init__(path, "xb")
        self._let_go = let_go

    def write(self, data: Any) -> int:
        assert self._let_go.wait(60)
        return super().write(data)


def test_a_slow_disk_costs_messages_and_no_time_and_memory_stays_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(recording, "_create", lambda path: io.BufferedWriter(SlowDisk(path, let_go)))
    monkeypatch.setattr(recording, "MAX_WAITING_BYTES", 1_000_000)
    recorder = Recorder(tmp_path / "slow.mcap")
    message = bytes(100_000)
    started = time.monotonic()
    for number in range(1_000):
        recorder.record(TEXT, number, message)
    assert time.monotonic() - started < 30, "the disk lets go after 60 s"
    dropped = recorder.state.dropped
    assert 900 < dropped < 1_000
    let_go.set()
    recorder.close()
    assert recorder.state == recording.RecorderState(1_000 - dropped, dropped, None)
    assert len(list(read_recording(tmp_path / "slow.mcap"))) == 1_000 - dropped


def test_a_disk_that_hangs_does_not_hang_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(recording, "_create", lambda path: io.BufferedWriter(SlowDisk(path, let_go)))
    monkeypatch.setattr(recording, "CLOSE_S", 0.05)
    recorder = Recorder(tmp_path / "hung.mcap")
    recorder.record(TEXT, 0, bytes(500_000))
    recorder.close()
    assert "took more than 0.05 s" in str(recorder.state.error)
    let_go.set()


def test_an_unfinished_recording_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.mcap.partial").write_text("precious")
    with pytest.raises(InputError, match="perception mcap recover"):
        Recorder(tmp_path / "a.mcap")
    assert (tmp_path / "a.mcap.partial").read_text() == "precious"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.*No such file"):
        Recorder(tmp_path / "nowhere" / "a.mcap")


def test_an_unknown_type_is_refused_where_it_is_recorded(tmp_path: Path) -> None:
    with (
        Recorder(tmp_path / "a.mcap") as recorder,
        pytest.raises(InputError, match="std_msgs/msg/Strong"),
    ):
        recorder.record(Topic("/x", "std_msgs/msg/Strong", ""), 0, b"")


def test_what_comes_after_the_end_is_counted_as_dropped(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.mcap") as recorder:
        pass
    recorder.record(TEXT, 0, say("late"))
    assert recorder.state.dropped == 1
