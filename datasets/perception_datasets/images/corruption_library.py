"""The corruptions of the package `imagecorruptions` 1.1.2 (https://github.com/bethgelab/imagecorruptions, Apache-2.0).

That release fails beside current NumPy, scikit-image and setuptools, so four names in its module are replaced:
`pkg_resources`, `np.float_`, scikit-image's `gaussian(multichannel=)`, and `random_noise`, which would not be seeded.
Nothing outside of its module is changed.
"""

from __future__ import annotations

import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from perception.errors import InputError

MIN_SIZE = 32
_lock = threading.Lock()  # NumPy's global state is shared by all threads


def is_installed() -> bool:
    """Returns whether the package is installed."""
    return find_spec("imagecorruptions") is not None


def corrupt(
    pixels: UInt8[np.ndarray, "height width 3"], name: str, severity: int, seed: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Corrupts a picture.

    Args:
        pixels: A picture of at least 32 × 32 pixels.
        name: Name of the corruption.
        severity: 1 to 5.
        seed: Draws what is random; below 2³².

    Raises:
        InputError: The package is not installed.
        ValueError: The picture is too small.
    """
    if min(pixels.shape[:2]) < MIN_SIZE:
        raise ValueError(f"expected at least {MIN_SIZE} × {MIN_SIZE} pixels to corrupt, found {pixels.shape[:2]}")
    function = _library()[name]
    from PIL import Image

    with _lock, _seeded(seed):
        return np.asarray(function(Image.fromarray(pixels), severity)).astype(np.uint8)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


@cache
def _library() -> dict[str, Callable[..., Any]]:
    """Returns the corruptions by name."""
    if not is_installed():
        raise InputError("imagecorruptions is not installed; pip install 'frozen-perception[corruptions]'")
    with _stand_in("pkg_resources", resource_filename=_resource_filename), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # scipy.ndimage.interpolation
        import imagecorruptions  # pyright: ignore[reportMissingImports]
    module: Any = imagecorruptions.corruptions
    module.np = _Replaced(np, float_=np.float64)
    module.gaussian = _gaussian_as_before(module.gaussian)
    util = _Replaced(module.sk.util, random_noise=_seeded_noise(module.sk.util.random_noise))
    module.sk = _Replaced(module.sk, util=util)
    module.print = lambda *_: None  # zoom_blur reports each picture that is not square
    return imagecorruptions.corruption_dict


class _Replaced:
    """A module of which some names are replaced."""

    def __init__(self, module: types.ModuleType, **names: object) -> None:
        self._module = module
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@contextmanager
def _stand_in(name: str, **names: object) -> Iterator[None]:
    """Lets a module of a name be imported that may not be installed."""
    former = sys.modules.get(name)
    module = types.ModuleType(name)
    module.__dict__.update(names)
    sys.modules[name] = module
    try:
        yield
    finally:
        if former is None:
            del sys.modules[name]
        else:
            sys.modules[name] = former


def _resource_filename(module: str, name: str) -> str:
    return str(Path(str(sys.modules[module].__file__)).parent / name)


def _gaussian_as_before(gaussian: Callable[..., Any]) -> Callable[..., Any]:
    def with_multichannel(image: np.ndarray, sigma: Any = 1, multichannel: bool = False, **options: Any) -> Any:
        return gaussian(image, sigma=sigma, channel_axis=-1 if multichannel else None, **options)

    return with_multichannel


def _seeded_noise(random_noise: Callable[..., Any]) -> Callable[..., Any]:
    def with_global_seed(image: np.ndarray, **options: Any) -> Any:
        return random_noise(image, rng=np.random.default_rng(np.random.randint(2**32, dtype=np.uint64)), **options)

    return with_global_seed
