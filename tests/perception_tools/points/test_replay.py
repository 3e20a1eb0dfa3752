"""The clouds of a recording through a LiDAR node."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.feather as feather
import pytest

from perception_nodes.points.plan import OBJECTS
from perception_nodes.recordings.reader import read_recording
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.messages import DETECTIONS, POINT_CLOUD, deserialize, topic_of
from perception_tools.main import main

CLOUDS, BOXES = "/lidar/points", "/tracker/boxes"
BEGIN_NS = 1_700_000_000_000_000_000
Message = Callable[..., bytes]


@pytest.fixture
def street() -> np.ndarray:
    """Three objects."""
    rng = np.random.default_rng(0)
    parts = [((10, 2, 0.8), (2.4, 1.2, 1), 200), ((6, -3, 0.9), (0.5, 0.5, 1.7), 80), ((-5, 0, 1), (0.2, 0.2, 2), 30)]
    return np.concatenate([rng.uniform(-0.5, 0.5, (count, 3)) * size + place for place, size, count in parts])


def write_log(path: Path, messages: list[tuple[str, bytes]]) -> Path:
    """A recording of messages of the topics, ten a second."""
    with Recorder(path, lossless=True) as recorder:
        for number, (name, cdr) in enumerate(messages):
            kind = DETECTIONS if name == BOXES else POINT_CLOUD
            recorder.record(topic_of(name, kind), BEGIN_NS + 10**8 * number, cdr)
    return path


def told(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_objects_of_clouds_are_classified_as_offline_and_every_run_is_the_same(
    trained_points: Path, street: np.ndarray, cloud_message: Message, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = [(CLOUDS, cloud_message(street + shift)) for shift in range(3)]
    log = write_log(tmp_path / "log.mcap", [*sent, (CLOUDS, cloud_message(street, fields=[]))])
    lines = []
    for options in ([], ["--out", str(tmp_path / "out.mcap")], ["--max-objects", "1"]):
        assert main(["replay", str(log), "--checkpoint", str(trained_points), *options]) == 0
        lines.append(told(capsys))
    assert lines[0]["sha256"] == lines[1]["sha256"] != lines[2]["sha256"]
    assert (lines[0]["node"], lines[0]["topic"], lines[0]["clouds"], lines[0]["answered"]) == ("points", CLOUDS, 4, 3)
    assert list(lines[0]["refused"].values()) == [1]
    assert lines[0]["max_difference_to_offline"] < 1e-6
    answers = [deserialize(m.cdr, DETECTIONS) for m in read_recording(tmp_path / "out.mcap", [OBJECTS])]
    assert [len(answer.detections) for answer in answers] == [3, 3, 3]


def test_given_boxes_are_classified_from_the_cloud_of_their_time(
    trained_points: Path,
    street: np.ndarray,
    cloud_message: Message,
    boxes_message: Message,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    boxes = np.array([[10, 2, 0.8, 0, 0, 0, 1, 4, 2, 1.6], [50, 50, 0, 0, 0, 0, 1, 1, 1, 1]])
    messages = [
        (CLOUDS, cloud_message(street, stamp_ns=BEGIN_NS)),
        (CLOUDS, cloud_message(street + 100, stamp_ns=BEGIN_NS + 10**8)),
        (BOXES, boxes_message(boxes, stamp_ns=BEGIN_NS + 10**7)),
        (BOXES, boxes_message(boxes, stamp_ns=BEGIN_NS + 10**9)),
    ]
    log = write_log(tmp_path / "log.mcap", messages)
    out = tmp_path / "out.mcap"
    assert main(["replay", str(log), "--checkpoint", str(trained_points), "--boxes", BOXES, "--out", str(out)]) == 0
    line = told(capsys)
    assert (line["boxes"], line["answered"], line["topic"]) == (2, 1, BOXES)
    assert line["refused"] == {"missing: no cloud within 0.05 s of the boxes": 1}
    assert line["max_difference_to_offline"] < 1e-6
    (answer,) = (deserialize(m.cdr, DETECTIONS) for m in read_recording(out, [OBJECTS]))
    assert [len(detection.results) for detection in answer.detections] == [4, 1]


def test_numbers_that_make_no_sense_are_refused(
    trained_points: Path, street: np.ndarray, cloud_message: Message, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_log(tmp_path / "log.mcap", [(CLOUDS, cloud_message(street))])
    for option, value in (("--threads", "0"), ("--top", "0"), ("--distance-m", "0")):
        assert main(["replay", str(log), "--checkpoint", str(trained_points), option, value]) == 2
    assert "expected distance_m above 0" in capsys.readouterr().err


def test_a_real_sweep_falls_apart_and_its_annotated_boxes_are_classified_as_offline(
    real_data: Path,
    trained_points: Path,
    cloud_message: Message,
    boxes_message: Message,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = real_data / "argoverse2/sensor_logs/adcf7d18-0510-35b0-a2fa-b4cea13a6d76"
    (sweep,) = (folder / "sensors/lidar").glob("*.feather")
    table = feather.read_table(sweep)
    points = np.column_stack([table[name].to_numpy() for name in "xyz"]).astype(np.float32)
    boxes = feather.read_table(folder / "annotations.feather").to_pandas()
    boxes = boxes[boxes.timestamp_ns == int(sweep.stem)]
    rows = boxes[["tx_m", "ty_m", "tz_m", "qx", "qy", "qz", "qw", "length_m", "width_m", "height_m"]].to_numpy()
    messages = [(CLOUDS, cloud_message(points)), (BOXES, boxes_message(rows))]
    log, run = write_log(tmp_path / "log.mcap", messages), ["--checkpoint", str(trained_points)]
    out = ["--out", str(tmp_path / "out.mcap")]
    assert main(["replay", str(log), *run, "--boxes", BOXES, *out]) == 0
    assert told(capsys)["max_difference_to_offline"] < 1e-6
    (answer,) = (deserialize(m.cdr, DETECTIONS) for m in read_recording(tmp_path / "out.mcap", [OBJECTS]))
    assert sum(len(detection.results) > 1 for detection in answer.detections) == 24  # those with 20 points
    assert main(["replay", str(log), *run, "--low-m", "0.5", "--max-objects", "8"]) == 0
    line = told(capsys)
    assert (line["answered"], line["max_difference_to_offline"] < 1e-6) == (1, True)
