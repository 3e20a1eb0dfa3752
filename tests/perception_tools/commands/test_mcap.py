from __future__ import annotations

import queue
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from perception_nodes.operations.router import open_router
from perception_nodes.recordings.reader import read_recording
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.topics import Received, RosNode, open_session
from perception_nodes.ros.wire import LATCHED, RmwZenoh, Topic
from perception_tools.main import main

TEXT = Topic("/chat", "std_msgs/msg/String", "RIHS01_df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    with Recorder(tmp_path / "a.mcap", lossless=True) as recorder:
        for number in range(5):
            recorder.record(TEXT, number, b"\x00\x01\x00\x00\x02\x00\x00\x00a\x00")
    return tmp_path / "a.mcap"


def test_a_cut_recording_is_saved_and_the_loss_is_said(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.mcap.partial"
    cut.write_bytes(recording.read_bytes()[:-20])
    assert main(["mcap", "recover", str(cut), str(tmp_path / "b.mcap")]) == 0
    printed = capsys.readouterr().out
    assert "holds 5 messages of /chat" in printed
    assert "was cut off; " in printed
    assert len(list(read_recording(tmp_path / "b.mcap"))) == 5


def test_a_whole_recording_is_said_to_be_whole(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mcap", "recover", str(recording), str(tmp_path / "b.mcap")]) == 0
    assert "was whole" in capsys.readouterr().out


def test_a_file_that_is_no_recording_is_a_mistake_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no.mcap").write_bytes(b"hello")
    assert main(["mcap", "recover", str(tmp_path / "no.mcap"), str(tmp_path / "b.mcap")]) == 2
    assert "nothing to save" in capsys.readouterr().err
    assert not (tmp_path / "b.mcap").exists()


def test_a_latched_recording_is_played_and_lasts_until_it_is_stopped(tmp_path: Path, place: str) -> None:
    with Recorder(tmp_path / "map.mcap", lossless=True) as recorder:
        recorder.record(replace(TEXT, name="/latched", qos=LATCHED), 0, b"\x00\x01\x00\x00\x02\x00\x00\x00a\x00")
    command = [sys.executable, "-m", "perception_tools.main", "mcap", "play", str(tmp_path / "map.mcap")]
    inbox: queue.Queue[Received] = queue.Queue()
    with (
        open_router(place),
        subprocess.Popen([*command, "--connect", place], stdout=subprocess.PIPE, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "plays /latched\n"
            assert process.stdout.readline() == "played 1 messages\n"
            assert process.stdout.readline().startswith("stays for the latched topics")
            with open_session([place]) as session, RosNode(session, RmwZenoh()) as ros:
                ros.subscribe(replace(TEXT, name="/latched", qos=LATCHED), inbox.put)
                assert inbox.get(timeout=60).cdr.endswith(b"a\x00")
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_what_cannot_be_played_is_one_sentence(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mcap", "play", str(recording), "--topics", "/odd"]) == 2
    assert "has no topic /odd; its topics are /chat" in capsys.readouterr().err
    assert main(["mcap", "play"]) == 2
    assert "expected at least one recording, got none" in capsys.readouterr().err
