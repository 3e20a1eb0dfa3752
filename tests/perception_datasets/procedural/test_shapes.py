"""Drawn shapes: the same for the same seed, and not told by their colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception.errors import InputError
from perception_datasets.images.open_pictures import open_pictures
from perception_datasets.procedural.shapes import SHAPES, SIDE, draw_shape, write_shapes


def test_a_split_is_an_image_folder_with_every_class(tmp_path: Path) -> None:
    assert len(list(write_shapes(tmp_path, "train", count=2 * len(SHAPES), seed=0))) == 2 * len(SHAPES)
    pictures = open_pictures(tmp_path, "train")
    assert pictures.classes == tuple(sorted(SHAPES))
    assert np.bincount(pictures.labels).tolist() == [2] * len(SHAPES)
    assert pictures.decode(pictures[0]).pixels.shape == (SIDE, SIDE, 3)


def test_the_same_seed_gives_the_same_pictures_and_splits_and_numbers_differ(tmp_path: Path) -> None:
    def drawn(folder: str, split: str, seed: int) -> list[bytes]:
        return [path.read_bytes() for path in write_shapes(tmp_path / folder, split, count=9, seed=seed)]

    one = drawn("a", "train", 3)
    assert drawn("b", "train", 3) == one
    assert one[0] != one[8], "two pictures of one class"
    assert set(one).isdisjoint(drawn("a", "val", 3))
    assert set(one).isdisjoint(drawn("c", "train", 4))


def test_pictures_that_are_there_are_kept_and_a_larger_count_adds_to_them(tmp_path: Path) -> None:
    first = list(write_shapes(tmp_path, "val", count=3, seed=0))
    before = [path.stat().st_mtime_ns for path in first]
    more = list(write_shapes(tmp_path, "val", count=5, seed=0))
    assert more[:3] == first
    assert [path.stat().st_mtime_ns for path in first] == before
    assert not list(tmp_path.rglob("*.part"))


def test_a_split_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        next(write_shapes(tmp_path / "in", "../out", count=1, seed=0))


def test_the_shape_is_seen_against_its_background() -> None:
    """The share of pixels that are far from the median colour: small for a bar, larger for a circle, never none."""

    def share(name: str) -> float:
        values = []
        for seed in range(40):
            pixels = draw_shape(name, np.random.default_rng(seed)).astype(float)
            border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
            values.append((np.linalg.norm(pixels - np.median(border, 0), axis=-1) > 80).mean())
        return float(np.mean(values))

    assert 0.05 < share("bar") < share("circle") < 0.75


def test_mean_colours_do_not_tell_the_classes(tmp_path: Path) -> None:
    def means(split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        paths = list(write_shapes(tmp_path, split, count=count, seed=0))
        labels = np.array([sorted(SHAPES).index(path.parent.name) for path in paths])
        return np.array([np.array(Image.open(path)).mean((0, 1)) for path in paths]), labels

    (train, labels), (val, truth) = means("train", 400), means("val", 160)
    centres = np.array([train[labels == label].mean(0) for label in range(len(SHAPES))])
    found = np.linalg.norm(val[:, None] - centres, axis=-1).argmin(1)
    assert (found == truth).mean() < 0.3, "chance is 0.125"
