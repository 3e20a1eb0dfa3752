from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from perception.errors import InputError
from perception_nodes.recordings.mcap_file import Recorded
from perception_nodes.recordings.reader import read_recording
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.messages import IMAGE, make, topic_of
from perception_tools.classification.replay import (
    Played,
    active,
    check_places,
    find_topic,
    largest_difference,
    play,
    print_summary,
    recording,
)

TEXT = "std_msgs/msg/String"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Six messages of /a and three of /b."""
    with Recorder(tmp_path / "log.mcap", lossless=True) as recorder:
        for number in range(6):
            recorder.record(topic_of("/a", TEXT), 1000 + number, bytes([0, 1, 0, 0, number]))
            if number % 2:
                recorder.record(topic_of("/b", TEXT), 1000 + number, bytes([0, 1, 0, 0, 99]))
    return tmp_path / "log.mcap"


def answer(message: Recorded) -> bytes | None:
    if message.topic == "/b" or message.cdr[4] == 1:
        return None
    if message.cdr[4] == 2:
        raise InputError("two is too many")
    return message.cdr[4:]


def test_messages_are_counted_compared_digested_and_recorded(log: Path, tmp_path: Path) -> None:
    sources, target = [find_topic(log, [TEXT], "texts", name) for name in ("/a", "/b")], topic_of("/out", TEXT)
    lines = []
    for name in ("one.mcap", "two.mcap"):
        with recording(tmp_path / name, sources, target) as record:
            played = play(log, "/a", "texts", answer, lambda of, cdr: of.cdr[4] / 10 + len(cdr), record, ["/b"])
        lines.append(print_summary("echo", log, "/a", "echo@1", "float32", played))
        lines[-1].pop("latency_ms")
    assert lines[0] == lines[1]
    assert {name: lines[0][name] for name in ("texts", "answered", "refused", "max_difference_to_offline")} == {
        "texts": 6,
        "answered": 4,
        "refused": {"message: InputError: two is too many": 1},
        "max_difference_to_offline": 1.5,
    }
    found = [(message.topic, message.cdr) for message in read_recording(tmp_path / "one.mcap")]
    assert [cdr for topic, cdr in found if topic == "/out"] == [bytes([number]) for number in (0, 3, 4, 5)]
    assert len(found) == 6 + 3 + 4


def test_the_line_is_json_also_where_nothing_was_answered(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    print_summary("echo", tmp_path / "log.mcap", "/a", "echo@1", "float32", Played("texts", taken=3))
    line = json.loads(capsys.readouterr().out)
    assert (line["texts"], line["answered"], line["latency_ms"], line["max_difference_to_offline"]) == (
        3,
        0,
        None,
        None,
    )


def test_without_a_file_nothing_is_recorded() -> None:
    with recording(None, [], topic_of("/out", TEXT)) as record:
        record(Recorded("/a", TEXT, 0, b""), b"")


def test_the_topic_must_be_clear(log: Path) -> None:
    with pytest.raises(InputError, match="expected one topic of texts, found /a, /b; name one of them with --topic"):
        find_topic(log, [TEXT], "texts", None)
    with pytest.raises(InputError, match="expected one topic of pictures, found none; give another recording"):
        find_topic(log, [IMAGE], "pictures", None)
    with pytest.raises(InputError, match=f"--boxes /c: expected a topic of texts of {log}, it has /a, /b; name one"):
        find_topic(log, [TEXT], "texts", "/c", "boxes")


def test_numbers_and_places_are_checked_first(log: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--top 0: expected at least 1"):
        check_places(log, tmp_path, None, {"threads": 1, "top": 0})
    with pytest.raises(InputError):
        check_places(log, tmp_path, log, {})


def test_the_difference_is_that_of_the_class_of_each_hypothesis() -> None:
    results = [
        make("vision_msgs/msg/ObjectHypothesis", class_id=name, score=score)
        for name, score in (("b", 0.5), ("a", 0.25))
    ]
    assert largest_difference(results, np.array([0.25, 0.75]), ("a", "b")) == 0.25


def test_a_node_has_the_folded_model_and_ends_also_where_a_replay_fails(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    trained = SimpleNamespace(name="image/x", classes=("a", "b"), model=SimpleNamespace(folded=lambda to: f"in {to}"))
    calls: list[object] = []
    node = SimpleNamespace(
        configure=lambda model, classes, model_id: calls.append((model, classes, model_id.split("@")[0])),
        activate=lambda: calls.append("activate"),
        shutdown=lambda: calls.append("shutdown"),
    )

    def fail() -> None:
        with active(node, trained, tmp_path, "int8_dynamic") as name:  # pyright: ignore[reportArgumentType]
            calls.append(name.endswith(":int8_dynamic"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert calls == [("in int8_dynamic", ("a", "b"), "image/x"), "activate", True, "shutdown"]
