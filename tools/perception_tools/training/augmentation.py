"""Changes of training pictures by timm's transforms, drawn from seeds instead of the global generators."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data.auto_augment import rand_augment_transform
from timm.data.transforms_factory import transforms_imagenet_train
from torch import Tensor

from perception.errors import InputError


def timm_changes(
    size: int, auto_augment: str, color_jitter: float, erasing: float, erasing_mode: str
) -> tuple[Callable[[Image.Image], Image.Image], Callable[[Image.Image], Tensor]]:
    """Returns timm's changes of a cropped picture, and its normalisation and erasing.

    Args:
        size: Height and width of the picture.
        auto_augment: timm's string for RandAugment; empty for colour jitter alone.
        color_jitter: Strength of the colour jitter, which timm leaves out with RandAugment.
        erasing: Probability that a part of a picture is erased.
        erasing_mode: What takes its place: `pixel`, `rand` or `const`.

    Raises:
        InputError: timm does not know such an augmentation.
    """
    try:
        _, change, finish = transforms_imagenet_train(  # pyright: ignore[reportGeneralTypeIssues]  # three, if separate
            size,
            auto_augment=auto_augment or None,
            color_jitter=color_jitter,
            re_prob=erasing,
            re_mode=erasing_mode,
            interpolation="bicubic",
            separate=True,
        )
    except (AssertionError, ValueError, KeyError, NotImplementedError) as error:
        raise InputError(
            f"augmentation.auto_augment: expected a string that timm knows, got {auto_augment!r}; give one such as "
            "rand-m9-mstd0.5-inc1, or '' for none"
        ) from error
    return change, finish


_KEEPS_COLOURS = (
    *("AutoContrast", "Equalize", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color", "Contrast", "Brightness"),
    *("Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY"),
)
"""timm's names of RandAugment's changes but for inversion: texts speak of colours (ViLT,
https://arxiv.org/abs/2102.03334, §4.3)."""
_MOVES_PIXELS = 100


def rand_augment(config: str) -> Callable[[Image.Image], Image.Image]:
    """Timm's RandAugment for pictures with texts: nothing is inverted, and what is moved in is black.

    Args:
        config: timm's string, such as `rand-m3-n2-p1`.

    Raises:
        InputError: timm does not know it.
    """
    options = {"translate_const": _MOVES_PIXELS, "img_mean": (0, 0, 0), "interpolation": Image.Resampling.BILINEAR}
    try:
        return rand_augment_transform(config, options, list(_KEEPS_COLOURS))
    except (AssertionError, ValueError) as error:
        raise InputError(
            f"auto_augment: expected a string of timm's RandAugment, got {config!r}; give one such as rand-m3-n2-p1, "
            "or '' for none"
        ) from error


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds the global generators that timm's transforms draw from, and puts them back afterwards."""
    states: tuple[Any, ...] = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)  # `torch.manual_seed` spends 0.3 ms on describing its caller to CUDA
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
