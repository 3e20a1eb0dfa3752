from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_datasets.video.decoding import count_images
from perception_tools.video.bench import video
from perception_tools.video.bench.video import bench_video, make_recognizer, write_video


@pytest.fixture(autouse=True)
def small_clips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(video, "IMAGES", 4)
    monkeypatch.setattr(video, "PICTURE", 32)
    made = write_video(tmp_path / "small.mp4", 12, 32, 48, 4)
    monkeypatch.setattr(video, "write_video", lambda _: made)


def test_every_way_is_timed_against_the_first(tmp_path: Path) -> None:
    out = tmp_path / "new" / "video.json"
    timings = bench_video(out, size="micro", block="random:64x96x4", rows_at_once=2, repeat=1)
    written = json.loads(out.read_text())
    assert [(t["kind"], t["way"]) for t in written["timings"]] == [
        ("training", "ours, bare"),
        ("training", "transformers, bare"),
        ("training", "ours, block, few rows at once"),
        ("training", "ours, block, all rows at once"),
        ("decoding", "all images, decoded and converted"),
        ("decoding", "16 of all segments, by seeking"),
        ("decoding", "one in the middle, by seeking"),
    ]
    assert all(timing.seconds > 0 for timing in timings)
    assert all((timing.memory_mb is None) == (timing.kind == "decoding") for timing in timings)


def test_the_made_video_has_the_images_that_are_asked_for(tmp_path: Path) -> None:
    path = write_video(tmp_path / "made.mp4", 7, 32, 48, 3)
    assert count_images(path, path) == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batch": 0}, "at least 1"), ({"rows_at_once": 0}, "at least 1"), ({"size": "huge"}, "--size huge")],
)
def test_what_cannot_be_timed_is_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bench_video(**options)


def test_few_rows_at_once_are_a_property_of_the_adapter() -> None:
    model = make_recognizer("micro", "random:64x96x4", 3)
    assert model.block is not None
    assert model.block.rows_at_once == 3
