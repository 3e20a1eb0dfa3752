from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.clips.clip import Clip
from perception.clips.clip_input import ClipInput
from perception.errors import InputError
from perception.images.image import Picture
from perception.images.picture_input import PictureInput

PLAIN = ClipInput(2, 8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def noise(images: int, rows: int, columns: int) -> Clip:
    return Clip("noise", np.random.default_rng(0).integers(0, 256, (images, rows, columns, 3), np.uint8))


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40), st.integers(1, 3))
def test_squares_have_the_models_size_whatever_the_clips(images: int, rows: int, columns: int, count: int) -> None:
    made = ClipInput(4, 8).squares(noise(images, rows, columns), count)
    assert [square.shape for square in made] == [(3, 4, 8, 8)] * count


def test_an_image_of_the_right_height_is_cut_as_a_picture_is() -> None:
    clip = noise(2, 8, 13)
    made = ClipInput(2, 8).prepare(clip)
    for number, pixels in enumerate(clip.images):
        theirs = PictureInput(8, 8, crop_pct=1.0).prepare(Picture("p", pixels))
        torch.testing.assert_close(made[:, number], theirs, rtol=0, atol=1e-6)


def test_three_squares_are_the_beginning_the_middle_and_the_end() -> None:
    clip = noise(2, 8, 20)
    squares = PLAIN.squares(clip, 3)
    pixels = torch.from_numpy(clip.images).permute(3, 0, 1, 2) / 255
    for square, left in zip(squares, (0, 6, 12), strict=True):
        torch.testing.assert_close(square, pixels[:, :, :, left : left + 8])


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40))
def test_images_that_are_cut_one_by_one_make_the_same_clip(rows: int, columns: int) -> None:
    clip, shown = noise(3, rows, columns), ClipInput(3, 8)
    squares = [shown.middle(Clip("one", clip.images[n : n + 1])) for n in range(3)]
    torch.testing.assert_close(shown.normalised(torch.cat(squares)), shown.prepare(clip), rtol=0, atol=0)


def test_a_tall_clip_is_cut_from_top_to_bottom() -> None:
    clip = noise(2, 20, 8)
    top, _, bottom = PLAIN.squares(clip, 3)
    pixels = torch.from_numpy(clip.images).permute(3, 0, 1, 2) / 255
    torch.testing.assert_close(top, pixels[:, :, :8])
    torch.testing.assert_close(bottom, pixels[:, :, 12:])


def test_of_a_longer_clip_the_middles_of_its_segments_are_seen() -> None:
    images = np.broadcast_to(np.arange(8, dtype=np.uint8)[:, None, None, None], (8, 8, 8, 3)).copy()
    seen = PLAIN.prepare(Clip("ramp", images)) * 255
    assert seen[0, :, 0, 0].round().tolist() == [2, 6]


def test_colours_are_normalised_as_imagenets() -> None:
    grey = Clip("grey", np.full((2, 8, 8, 3), 255, np.uint8))
    seen = ClipInput(2, 8).prepare(grey)
    torch.testing.assert_close(
        seen[:, 0, 0, 0], (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    )


def test_a_strip_that_would_fill_memory_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="clip noise: expected images that are at most"):
        ClipInput(1, 224).prepare(noise(1, 1, 400))
