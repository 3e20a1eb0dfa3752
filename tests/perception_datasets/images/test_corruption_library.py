from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from jaxtyping import UInt8

from perception.errors import InputError
from perception_datasets.images import corruption_library
from perception_datasets.images.corruption_library import corrupt
from perception_datasets.images.imagenet_c import corruptions

needs_library = pytest.mark.skipif(
    find_spec("imagecorruptions") is None, reason="pip install 'frozen-perception[corruptions]'"
)


@pytest.fixture(scope="module")
def pixels() -> UInt8[np.ndarray, "height width 3"]:
    """A smooth picture that is not square."""
    rows, columns = np.meshgrid(np.linspace(0, 3, 40), np.linspace(0, 5, 56), indexing="ij")
    waves = np.stack([np.sin(rows + k * columns) for k in range(3)], -1)
    return (127 + 100 * waves).astype(np.uint8)


@needs_library
@pytest.mark.parametrize("name", [corruption.name for corruption in corruptions()])
def test_every_corruption_is_a_function_of_its_seed(pixels: UInt8[np.ndarray, "height width 3"], name: str) -> None:
    np.random.seed(5)
    state = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    once = corrupt(pixels, name, 3, seed=1)
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index, union-attr]
    np.random.seed(6)
    np.testing.assert_array_equal(corrupt(pixels, name, 3, seed=1), once)
    assert once.shape == pixels.shape
    assert not np.array_equal(once, pixels)
    random = {"noise", "weather", "extra"} | {"motion_blur", "elastic_transform", "glass_blur"}
    group = next(c.group for c in corruptions() if c.name == name)
    if name in random or (group in random and name not in ("brightness", "gaussian_blur", "saturate")):
        assert not np.array_equal(corrupt(pixels, name, 3, seed=2), once)


@needs_library
@pytest.mark.parametrize("name", ["gaussian_noise", "contrast", "fog", "pixelate", "jpeg_compression"])
def test_severities_grow(pixels: UInt8[np.ndarray, "height width 3"], name: str) -> None:
    far = [np.abs(corrupt(pixels, name, s, seed=0).astype(int) - pixels).mean() for s in (1, 3, 5)]
    assert far == sorted(far)
    assert far[0] < far[2]


@needs_library
def test_gaussian_noise_is_that_of_the_paper(pixels: UInt8[np.ndarray, "height width 3"]) -> None:
    np.random.seed(3)
    noise = np.random.normal(size=pixels.shape, scale=0.12)
    expected = (np.clip(pixels / 255.0 + noise, 0, 1) * 255).astype(np.uint8)
    np.testing.assert_array_equal(corrupt(pixels, "gaussian_noise", 2, seed=3), expected)


@needs_library
def test_nothing_outside_of_the_library_is_changed(pixels: UInt8[np.ndarray, "height width 3"]) -> None:
    had = "pkg_resources" in sys.modules
    corrupt(pixels, "impulse_noise", 1, seed=0)
    assert ("pkg_resources" in sys.modules) == had
    assert not hasattr(np, "float_")


def test_small_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected at least 32 × 32 pixels to corrupt, found \(31, 40\)"):
        corrupt(np.zeros((31, 40, 3), np.uint8), "fog", 1, seed=0)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corruption_library, "is_installed", lambda: False)
    corruption_library._library.cache_clear()
    with pytest.raises(InputError, match=r"imagecorruptions is not installed; pip install 'frozen-perception\[corr"):
        corrupt(np.zeros((40, 40, 3), np.uint8), "fog", 1, seed=0)
