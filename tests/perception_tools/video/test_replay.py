"""The pictures of a recording through a video node."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception.clips.clip import Clip
from perception.clips.resizing import resized
from perception_datasets.video.decoding import decode_images
from perception_nodes.recordings.reader import read_recording
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.messages import CLASSIFICATION, IMAGE, deserialize, stamp_ns_of, topic_of
from perception_nodes.video.plan import ACTIONS
from perception_tools.main import main
from perception_tools.video.model import load_recognizer

RAW = "/camera/image_raw"
BEGIN_NS = 1_700_000_000_000_000_000
Message = Callable[..., bytes]


def write_log(path: Path, stamps_s: np.ndarray, pictures: np.ndarray, message: Message) -> Path:
    """A recording of pictures with these stamps, one after the other."""
    with Recorder(path, lossless=True) as recorder:
        for number, (stamp_s, picture) in enumerate(zip(stamps_s, pictures, strict=True)):
            cdr = message(picture, "rgb8", stamp_ns=BEGIN_NS + round(stamp_s * 1e9))
            recorder.record(topic_of(RAW, IMAGE), BEGIN_NS + 10**8 * number, cdr)
    return path


def told(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 24, 36, 3), np.uint8)


def test_clips_are_classified_as_offline_with_drops_jitter_gaps_and_a_log_that_begins_again(
    trained_recognizer: Path,
    pictures: np.ndarray,
    image_message: Message,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(0)
    steady = np.delete(np.arange(16) / 10, [4, 11]) + rng.uniform(-0.03, 0.03, 14)
    stamps = np.concatenate([steady, 10 + np.arange(13) / 10, np.arange(12) / 10, [0.5]])
    log = write_log(tmp_path / "log.mcap", stamps, pictures, image_message)
    lines = []
    for options in ([], ["--out", str(tmp_path / "out.mcap")]):
        words = ["--checkpoint", str(trained_recognizer), "--every", "1", "--stride-s", "0.2", *options]
        assert main(["replay", str(log), *words]) == 0
        lines.append(told(capsys))
    assert lines[0]["sha256"] == lines[1]["sha256"]
    assert (lines[0]["node"], lines[0]["pictures"]) == ("video", 40)
    assert lines[0]["max_difference_to_offline"] < 1e-6
    refused = lines[0]["refused"]
    assert sum("since a gap of" in reason for reason in refused) == 6
    assert sum("since stamps that went back by" in reason for reason in refused) == 6
    assert (
        refused["message: InputError: a picture 0.600 s before the last one; expected a newer one, so it is left out"]
        == 1
    )
    assert lines[0]["answered"] == 40 - sum(refused.values()) >= 7 + 7 + 6
    answers = [deserialize(m.cdr, CLASSIFICATION) for m in read_recording(tmp_path / "out.mcap", [ACTIONS])]
    after_gap = next(answer for answer in answers if stamp_ns_of(answer.header) == BEGIN_NS + 10_600_000_000)
    trained = load_recognizer(trained_recognizer)
    images = resized(pictures[14 + np.array([0, 2, 4, 6])], trained.recipe.shorter_side)
    (expected,) = trained.recognizer.classify([Clip("offline", images)])
    scores = {result.class_id: result.score for result in after_gap.results}
    assert [scores[name] for name in trained.classes] == pytest.approx(expected.tolist(), abs=1e-6)


def test_every_so_many_pictures_are_answered_and_numbers_are_checked(
    trained_recognizer: Path,
    pictures: np.ndarray,
    image_message: Message,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = write_log(tmp_path / "log.mcap", np.arange(40) / 10, pictures, image_message)
    run = ["--checkpoint", str(trained_recognizer)]
    assert main(["replay", str(log), *run, "--stride-s", "0.1"]) == 0
    line = told(capsys)
    assert (line["answered"], line["refused"]) == (5, {})  # one for eight
    for option in ("--every", "--stride-s", "--max-gap-s", "--top"):
        assert main(["replay", str(log), *run, option, "0"]) == 2
        assert f"{option} 0" in capsys.readouterr().err


def test_a_real_video_is_classified_as_offline(
    real_data: Path,
    trained_recognizer: Path,
    image_message: Message,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    video = real_data / "video_clips" / "smth-smth-1.webm"
    images = decode_images(video, video, np.arange)
    log = write_log(tmp_path / "log.mcap", np.arange(len(images)) / 12, images, image_message)
    assert main(["replay", str(log), "--checkpoint", str(trained_recognizer)]) == 0
    line = told(capsys)
    assert (line["pictures"], line["answered"]) == (47, 4)
    assert list(line["refused"]) == ["missing: the clip has 0.58 s of its 0.75 s, since the first picture"]
    assert line["max_difference_to_offline"] < 1e-6
