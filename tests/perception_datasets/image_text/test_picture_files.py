"""Pictures found by name in folders and archives; those that are missing or broken are named."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_datasets.image_text.picture_files import open_picture_files, warn_of_missing


def colour(path: Path, value: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(path)
    return path


def test_files_win_over_archives_and_the_first_archive_wins(tmp_path: Path) -> None:
    for number, name in enumerate(("b.tar", "a.tar")):
        with tarfile.open(tmp_path / name, "w") as archive:
            for file in ("x.png", "y.png"):
                archive.add(colour(tmp_path.parent / f"{tmp_path.name}_{number}{file}", 10 * number), f"train/{file}")
    colour(tmp_path / "val" / "x.png", 99)
    files = open_picture_files(tmp_path)
    assert len(files) == 2
    assert files.decode("x.png").pixels[0, 0, 0] == 99
    assert files.decode("y.png").pixels[0, 0, 0] == 10, "of a.tar"
    assert open_picture_files(tmp_path / "b.tar").decode("y.png").pixels[0, 0, 0] == 0


def test_missing_and_broken_pictures_are_named(tmp_path: Path) -> None:
    colour(tmp_path / "x.png", 1)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    files = open_picture_files(tmp_path)
    assert files.missing(["z.png", "x.png", "z.png", "broken.jpg"]) == ["z.png"]
    assert "z.png" not in files
    with pytest.raises(RecordError, match=r"z\.png: no such picture"):
        files.decode("z.png")
    with pytest.raises(RecordError, match=r"broken\.jpg"):
        files.decode("broken.jpg")
    assert warn_of_missing([], 3) == ""
    assert warn_of_missing(["z.png"], 3) == "1 of 3 pictures are not there, their records are left out: z.png"


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        open_picture_files(tmp_path)
