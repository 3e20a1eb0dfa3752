"""The pictures of a recording through a camera node."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception.images.image import Picture
from perception_datasets.images.open_pictures import open_pictures
from perception_nodes.image.plan import CLASSES
from perception_nodes.recordings.reader import read_recording
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.messages import CLASSIFICATION, COMPRESSED_IMAGE, IMAGE, deserialize, topic_of
from perception_tools.image.model import load_classifier
from perception_tools.main import main

RAW, PACKED = "/camera/image_raw", "/camera/image_raw/compressed"


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_log(path: Path, messages: list[tuple[str, bytes]]) -> Path:
    """A recording of messages of the topics, ten a second."""
    with Recorder(path, lossless=True) as recorder:
        for number, (name, cdr) in enumerate(messages):
            kind = COMPRESSED_IMAGE if name == PACKED else IMAGE
            recorder.record(topic_of(name, kind), 1_700_000_000_000_000_000 + 10**8 * number, cdr)
    return path


@pytest.fixture
def shown(pictures: Path) -> list[np.ndarray]:
    val = open_pictures(pictures, "val")
    return [val.decode(record).pixels for record in val]


def told(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_its_pictures_are_classified_as_offline_and_every_run_is_the_same(
    trained_classifier: Path,
    shown: list[np.ndarray],
    image_message: Callable[..., bytes],
    compressed_image_message: Callable[..., bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    raw = write_log(tmp_path / "raw.mcap", [(RAW, image_message(pixels, "rgb8", padding=3)) for pixels in shown])
    packed = write_log(
        tmp_path / "packed.mcap",
        [(PACKED, compressed_image_message(png(pixels), "rgb8; png compressed bgr8")) for pixels in shown],
    )
    lines = []
    for log, options in ((raw, ["--out", str(tmp_path / "answers.mcap")]), (raw, ["--lockstep"]), (packed, [])):
        assert main(["replay", str(log), "--checkpoint", str(trained_classifier), "--top", "3", *options]) == 0
        lines.append(told(capsys))
    assert {line["sha256"] for line in lines} == {lines[0]["sha256"]}
    assert (lines[0]["node"], lines[0]["topic"], lines[2]["topic"]) == ("image", RAW, PACKED)
    assert (lines[0]["pictures"], lines[0]["answered"], lines[0]["refused"]) == (12, 12, {})
    assert lines[0]["max_difference_to_offline"] < 1e-6
    trained = load_classifier(trained_classifier)
    expected = trained.model.classify([Picture("offline", pixels) for pixels in shown])
    answers = [deserialize(m.cdr, CLASSIFICATION) for m in read_recording(tmp_path / "answers.mcap", [CLASSES])]
    for answer, probabilities in zip(answers, expected, strict=True):
        scores = {result.class_id: result.score for result in answer.results}
        assert [scores[name] for name in trained.classes] == pytest.approx(probabilities.tolist(), abs=1e-6)


def test_pictures_that_cannot_be_used_are_counted_by_reason(
    trained_classifier: Path,
    shown: list[np.ndarray],
    image_message: Callable[..., bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = image_message(shown[0], "rgb8", step=1)
    log = write_log(tmp_path / "log.mcap", [(RAW, broken), (RAW, image_message(shown[0], "rgb8")), (RAW, broken)])
    assert main(["replay", str(log), "--checkpoint", str(trained_classifier)]) == 0
    line = told(capsys)
    assert (line["pictures"], line["answered"]) == (3, 1)
    ((reason, count),) = line["refused"].items()
    assert reason.startswith("message: MalformedMessage: a picture in rgb8")
    assert count == 2


def test_the_topic_must_be_clear(
    trained_classifier: Path,
    shown: list[np.ndarray],
    image_message: Callable[..., bytes],
    compressed_image_message: Callable[..., bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    both = [(RAW, image_message(shown[0], "rgb8")), (PACKED, compressed_image_message(png(shown[0]), "png"))]
    log, run = write_log(tmp_path / "log.mcap", both), ["--checkpoint", str(trained_classifier)]
    assert main(["replay", str(log), *run]) == 2
    assert f"expected one topic of pictures, found {RAW}, {PACKED}; name one of them" in capsys.readouterr().err
    assert main(["replay", str(log), *run, "--topic", "/other"]) == 2
    assert f"--topic /other: expected a topic of pictures of {log}, it has {RAW}, {PACKED}" in capsys.readouterr().err
    assert main(["replay", str(log), *run, "--topic", PACKED]) == 0
    assert told(capsys)["answered"] == 1
    for option in ("--threads", "--top"):
        assert main(["replay", str(log), *run, option, "0"]) == 2
        assert f"{option} 0: expected at least 1" in capsys.readouterr().err


def test_a_recording_without_pictures_is_refused(
    trained_classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Recorder(tmp_path / "log.mcap", lossless=True) as recorder:
        recorder.record(topic_of("/chatter", "std_msgs/msg/String"), 1, b"\x00\x01\x00\x00\x01\x00\x00\x00\x00")
    assert main(["replay", str(tmp_path / "log.mcap"), "--checkpoint", str(trained_classifier)]) == 2
    assert "expected one topic of pictures, found none; give another recording" in capsys.readouterr().err


def test_real_pictures_of_imagenet_are_classified_as_offline(
    real_data: Path,
    trained_classifier: Path,
    compressed_image_message: Callable[..., bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = sorted((real_data / "images").glob("*.JPEG"))
    log = write_log(
        tmp_path / "log.mcap",
        [(PACKED, compressed_image_message(file.read_bytes(), "rgb8; jpeg compressed bgr8")) for file in files],
    )
    assert main(["replay", str(log), "--checkpoint", str(trained_classifier), "--top", "3"]) == 0
    line = told(capsys)
    assert (line["pictures"], line["answered"]) == (21, 21)
    assert line["max_difference_to_offline"] < 1e-6
