"""Which images of a video a model sees: one of each of as many equal segments as it has images (TSN, SSv2's way).

Temporal Segment Networks (https://arxiv.org/abs/1608.00859); the places are those of VideoMAE's code for
Something-Something v2, except that its training samples leave out what remains when the length is divided by the number
of segments. Videos that are shorter than that repeat images.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64


def random_images(length: int, count: int, rng: np.random.Generator) -> Int64[np.ndarray, " count"]:
    """Returns a random image of each segment, for training.

    Args:
        length: Number of images in the video.
        count: Number of segments.
        rng: Draws them.
    """
    places = (np.arange(count) + rng.random(count)) * length / count
    return np.minimum(places.astype(np.int64), length - 1)


def middle_images(length: int, count: int) -> Int64[np.ndarray, " count"]:
    """Returns the image in the middle of each segment, for validation and service."""
    return view_images(length, count, 1, 2)


def view_images(length: int, count: int, view: int, views: int) -> Int64[np.ndarray, " count"]:
    """Returns the images of one of several views in time, which together take evenly spaced images.

    Args:
        length: Number of images in the video.
        count: Number of images in a view.
        view: Which view, from 0.
        views: Number of views. With two, the first has the images at the beginnings of the segments, the second those
            in the middles; with one, that has the middles.
    """
    if views == 1:
        return middle_images(length, count)
    return np.arange(view, count * views, views) * length // (count * views)
