from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_datasets.images.cropping import Box, RandomResizedCrop
from perception_datasets.images.decoding import Decoding, decode_pixels

NAME = Path("picture.jpg")
sides = st.integers(1, 700)


def planes_by_torchvision(data: bytes, box: Box, size: int, interpolation: Image.Resampling) -> np.ndarray:
    """The crop of a picture, as torchvision's transform makes it with Pillow."""
    with Image.open(io.BytesIO(data)) as picture:
        part = picture.convert("RGB").crop((box.left, box.top, box.left + box.width, box.top + box.height))
    return np.asarray(part.resize((size, size), interpolation)).transpose(2, 0, 1)


@given(sides, sides, st.integers(0, 2**32), st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(sorted))
def test_parts_lie_in_the_picture_and_have_the_size_that_is_asked_for(
    width: int, height: int, seed: int, scale: list[float]
) -> None:
    crop = RandomResizedCrop(32, scale=(scale[0], scale[1]))
    box = crop.draw(width, height, np.random.default_rng(seed))
    assert 0 <= box.left <= box.left + box.width <= width
    assert 0 <= box.top <= box.top + box.height <= height
    assert box.width > 0
    assert box.height > 0
    rounding = 1 / box.width + 1 / box.height
    assert box.width / box.height <= crop.ratio[1] * (1 + 2 * rounding)
    assert box.width / box.height >= crop.ratio[0] / (1 + 2 * rounding)


@pytest.mark.parametrize(("width", "height"), [(400, 20), (20, 400), (100, 99)])
def test_a_part_that_never_fits_is_torchvisions_middle(width: int, height: int) -> None:
    ratio = (0.9, 1.1) if width != 100 else (2.0, 2.1)
    crop = RandomResizedCrop(8, scale=(1.0, 1.0), ratio=ratio)
    top, left, down, across = transforms.RandomResizedCrop.get_params(
        torch.zeros(3, height, width), [1.0, 1.0], list(ratio)
    )
    assert crop.draw(width, height, np.random.default_rng(0)) == Box(left, top, across, down)


def test_parts_are_distributed_as_torchvisions_are() -> None:
    crop, rng, picture = RandomResizedCrop(), np.random.default_rng(0), torch.zeros(3, 375, 500)
    torch.manual_seed(0)
    theirs = transforms.RandomResizedCrop(224)
    ours = np.array([(b.left, b.top, b.width, b.height) for b in (crop.draw(500, 375, rng) for _ in range(3000))])
    params = [theirs.get_params(picture, list(theirs.scale), list(theirs.ratio)) for _ in range(3000)]
    expected = np.array([(left, top, width, height) for top, left, height, width in params])
    quantiles = [0.1, 0.25, 0.5, 0.75, 0.9]
    np.testing.assert_allclose(np.quantile(ours, quantiles, 0), np.quantile(expected, quantiles, 0), atol=16)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("width", "height"), [(48, 40), (200, 120), (31, 64)])
def test_crops_of_all_pixels_are_torchvisions_to_two_levels(
    interpolation: str, width: int, height: int, encode: Callable[..., bytes]
) -> None:
    data = encode(1, width, height)
    crop = RandomResizedCrop(24, mirror=0.0, interpolation=interpolation, reduce=False)  # type: ignore[arg-type]
    for seed in range(20):
        planes = crop.decode(data, NAME, np.random.default_rng(seed))
        box = crop.draw(width, height, np.random.default_rng(seed))
        expected = planes_by_torchvision(data, box, 24, Image.Resampling[interpolation.upper()])
        assert planes.shape == (3, 24, 24)
        difference = np.abs(planes.astype(int) - expected)
        assert difference.max() <= 2
        assert difference.mean() < 0.3


def test_mirror_images_are_those_of_the_same_part(encode: Callable[..., bytes]) -> None:
    data = encode(1)
    plain, mirrored = (
        RandomResizedCrop(24, mirror=mirror).decode(data, NAME, np.random.default_rng(3)) for mirror in (0.0, 1.0)
    )
    np.testing.assert_array_equal(mirrored, plain[..., ::-1])
    assert not np.array_equal(mirrored, plain)


@given(st.integers(0, 600), st.integers(0, 600), sides, sides, st.sampled_from([1, 2, 4, 8]))
def test_a_snapped_part_lies_on_the_grid_and_within_a_step(
    left: int, top: int, width: int, height: int, step: int
) -> None:
    box, snapped = Box(left, top, width, height), Box(left, top, width, height).snapped(step)
    for name in ("left", "top", "width", "height"):
        assert getattr(snapped, name) % step == 0
        assert 0 <= getattr(box, name) - getattr(snapped, name) < step


@pytest.mark.parametrize(("side", "reduction"), [(63, 1), (64, 2), (127, 2), (128, 4), (255, 4), (256, 8), (2000, 8)])
def test_what_is_decoded_is_never_smaller_than_what_is_asked_for(side: int, reduction: int) -> None:
    assert RandomResizedCrop(32).reduction(Box(0, 0, side, side + 9)) == reduction
    assert RandomResizedCrop(32).reduction(Box(0, 0, side + 9, side)) == reduction
    assert RandomResizedCrop(32, reduce=False).reduction(Box(0, 0, side, side)) == 1


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("side", [70, 135, 259])
def test_reduced_decoding_gives_nearly_the_same_crop(mode: str, side: int, encode: Callable[..., bytes]) -> None:
    data = encode(2, side, side, mode=mode)
    whole, reduced = (
        RandomResizedCrop(32, scale=(0.95, 1.0), ratio=(1.0, 1.0), reduce=reduce) for reduce in (False, True)
    )
    assert reduced.reduction(reduced.draw(side, side, np.random.default_rng(0))) > 1
    one, two = (crop.decode(data, NAME, np.random.default_rng(0)).astype(int) for crop in (whole, reduced))
    assert np.abs(one - two).mean() < 6  # the part is moved by less than the reduction
    assert not np.array_equal(one, two)


def test_a_picture_that_is_turned_is_cropped_after_it(encode: Callable[..., bytes]) -> None:
    with Image.open(io.BytesIO(encode(3, 64, 32))) as picture:
        exif = picture.getexif()
        exif[0x0112] = 6
        file = io.BytesIO()
        picture.save(file, "PNG", exif=exif)
    whole = RandomResizedCrop(16, scale=(1.0, 1.0), ratio=(0.5, 0.5), mirror=0.0)
    decoding = Decoding(exif_transpose=True)
    planes = whole.decode(file.getvalue(), NAME, np.random.default_rng(0), decoding)
    upright = Image.fromarray(decode_pixels(file.getvalue(), NAME, decoding))
    assert upright.size == (32, 64)
    expected = np.asarray(upright.resize((16, 16), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.abs(planes.astype(int) - expected).max() <= 2


def test_damaged_pictures_are_refused_by_name(encode: Callable[..., bytes]) -> None:
    for data in (b"", encode()[:500]):
        with pytest.raises(RecordError, match=r"picture\.jpg: .*; copy the file again"):
            RandomResizedCrop(16).decode(data, NAME, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": 0}, "size: expected at least 1 pixel, got 0"),
        ({"scale": (0.0, 1.0)}, "scale: expected 0 < low ≤ high ≤ 1, got 0 and 1"),
        ({"scale": (0.5, 1.5)}, "scale: .* got 0.5 and 1.5"),
        ({"ratio": (2.0, 1.0)}, "ratio: expected 0 < low ≤ high ≤ inf, got 2 and 1"),
        ({"mirror": 1.5}, "mirror: expected a probability, got 1.5"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        RandomResizedCrop(**options)
