from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data.transforms_factory import create_transform

from perception.errors import InputError
from perception.images.image import Picture
from perception.images.picture_input import PictureInput

SIDES = st.integers(1, 90)


def noise(rows: int, columns: int) -> Picture:
    return Picture("noise", np.random.default_rng(rows + 91 * columns).integers(0, 256, (rows, columns, 3), np.uint8))


def as_timm(picture: Picture, size: tuple[int, int], crop_pct: float) -> torch.Tensor:
    transform: Any = create_transform((3, *size), is_training=False, interpolation="bicubic", crop_pct=crop_pct)
    return transform(Image.fromarray(picture.pixels))


@settings(max_examples=60)
@given(SIDES, SIDES, st.sampled_from([(32, 32), (28, 28), (16, 24), (24, 16)]), st.sampled_from([1.0, 0.875, 0.9]))
def test_every_value_is_timms(rows: int, columns: int, size: tuple[int, int], crop_pct: float) -> None:
    picture = noise(rows, columns)
    mine = PictureInput(*size, crop_pct).prepare(picture)
    assert mine.shape == (3, *size)
    torch.testing.assert_close(mine, as_timm(picture, size, crop_pct), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(375, 500), (500, 333), (256, 256), (224, 224)])
def test_pictures_of_usual_sizes_are_seen_as_timm_sees_them(shape: tuple[int, int]) -> None:
    picture = noise(*shape)
    mine = PictureInput(224, 224).prepare(picture)
    torch.testing.assert_close(mine, as_timm(picture, (224, 224), 0.875), rtol=0, atol=1e-6)


def test_real_photographs_are_seen_as_timm_sees_them(real_data: Path) -> None:
    paths = sorted((real_data / "images").rglob("*.JPEG"))[:3] or sorted((real_data / "images").rglob("*.jpg"))[:3]
    if not paths:
        pytest.skip("no photographs among the real data")
    for path in paths:
        with Image.open(path) as image:
            picture = Picture(path.stem, np.array(image.convert("RGB")))
        mine = PictureInput(224, 224).prepare(picture)
        torch.testing.assert_close(mine, as_timm(picture, (224, 224), 0.875), rtol=0, atol=1e-6)


def test_a_small_picture_of_the_right_size_is_only_normalised() -> None:
    picture = noise(32, 32)
    seen = PictureInput(32, 32, crop_pct=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)).prepare(picture)
    expected = torch.from_numpy(picture.pixels).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-6)


def test_pixels_that_may_not_be_written_are_read_and_left_as_they_are() -> None:
    picture = noise(40, 30)
    before = picture.pixels.copy()
    picture.pixels.flags.writeable = False
    PictureInput(16, 16).prepare(picture)
    assert np.array_equal(picture.pixels, before)


def test_a_picture_that_would_become_huge_is_refused() -> None:
    with pytest.raises(InputError, match=r"picture noise: expected .* got 1 × 400 pixels, which become 256 × 102400"):
        PictureInput(224, 224).prepare(noise(1, 400))


@pytest.mark.parametrize("crop_pct", [0.0, -1.0, 1.1, float("nan")])
def test_a_crop_that_is_no_part_of_the_picture_is_refused(crop_pct: float) -> None:
    with pytest.raises(InputError, match="crop_pct: expected a number above 0, up to 1"):
        PictureInput(32, 32, crop_pct)


@pytest.mark.parametrize("size", [(40, 40), (37, 61), (90, 33)])
@pytest.mark.parametrize("shown", [PictureInput(16, 16), PictureInput(16, 24, crop_pct=0.7), PictureInput(8, 8, 1.0)])
def test_a_mask_is_cropped_as_its_picture_is(size: tuple[int, int], shown: PictureInput) -> None:
    mask = np.zeros(size, bool)
    mask[size[0] // 3 : 2 * size[0] // 3, size[1] // 4 : size[1] // 2] = True
    seen = shown.cropped_mask(mask)
    as_picture = shown.cropped(Picture("mask", np.repeat(255 * mask[..., None], 3, -1).astype(np.uint8)))[..., 0]
    assert seen.shape == as_picture.shape
    assert (seen == (as_picture > 127)).mean() > 0.9  # but for pixels at the edge
    assert seen[as_picture == 255].all()
    assert not seen[as_picture == 0].any()
