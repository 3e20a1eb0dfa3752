"""Damaged videos, archives of them and files of labels."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_datasets.video.open_videos import open_videos

Fuzz = Callable[..., None]


def write_video(path: Path, codec: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(10), options={"g": "3"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number in range(8):
            image = np.full((32, 32, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def _read(folder: Path, split: str) -> None:
    """Decodes some images of every video; those that cannot be are left out."""
    videos = open_videos(folder, split)
    for record in videos:
        with suppress(RecordError):
            videos.decode(record, lambda length: np.array([0, length // 2, length - 1]))


def _read_videos(folder: Path) -> None:
    _read(folder, "train")


def _read_labelled(folder: Path) -> None:
    for split in ("train", "val"):
        with suppress(InputError):
            _read(folder, split)


def test_damaged_videos_are_read_or_named(fuzz: Fuzz, tmp_path: Path) -> None:
    for name, codec in (("a.mp4", "libx264"), ("b.webm", "libvpx-vp9"), ("c.avi", "mpeg4"), ("d.mkv", "libx264")):
        write_video(tmp_path / "seeds" / "train" / "wave" / name, codec)
    write_video(tmp_path / "seeds" / "train" / "jump" / "e.mp4", "libx264")
    fuzz(_read_videos, tmp_path / "seeds")


def test_damaged_labels_and_archives_are_read_or_refused(fuzz: Fuzz, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    write_video(tmp_path / "1.mp4", "libx264")
    seeds.mkdir()
    with tarfile.open(seeds / "train.tar", "w") as archive:
        archive.add(tmp_path / "1.mp4", "1.mp4")
    records = [{"id": "1", "template": "Moving [something] up"}, {"id": "2", "template": "Tearing [something]"}]
    (seeds / "train.json").write_text(json.dumps(records))
    (seeds / "labels.json").write_text('{"Moving something up": "0", "Tearing something": "1"}')
    (seeds / "val.csv").write_text("label,youtube_id,time_start,time_end,split\nwave,a,1,2,val\njump,b,3,4,val\n")
    fuzz(_read_labelled, seeds)
