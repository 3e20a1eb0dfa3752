"""Small pictures that can be told apart, a tiny recipe, and a run of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception_tools.image.recipes import ImageRecipe
    from perception_tools.image.run import ImageRun

COLOURS = {"n01440764": (200, 40, 40), "n01443537": (40, 200, 40), "n01484850": (40, 40, 200)}
"""Three of ImageNet's classes, by their WordNet ids; ImageNet-R has the second and third."""


@pytest.fixture(scope="session")
def write_pictures() -> Callable[..., Path]:
    """Writes a folder of pictures, one colour a class, with noise."""

    def write(folder: Path, *, train: int = 8, val: int = 4, side: int = 40, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        for split, count in (("train", train), ("val", val)):
            for name, colour in COLOURS.items():
                (folder / split / name).mkdir(parents=True, exist_ok=True)
                for number in range(count):
                    pixels = np.clip(colour + rng.normal(0, 30, (side, side + number, 3)), 0, 255).astype(np.uint8)
                    Image.fromarray(pixels).save(folder / split / name / f"{name}_{number}.png")
        return folder

    return write


@pytest.fixture(scope="session")
def pictures(write_pictures: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures. Tests must not change them."""
    return write_pictures(tmp_path_factory.mktemp("pictures") / "colours")


@pytest.fixture(scope="session")
def tiny_image_recipe() -> ImageRecipe:
    """A recipe that trains in a second: two passes of three steps, around a seeded random block."""
    from perception_tools.image.recipes import RECIPES
    from perception_tools.training.recipes import BlockRecipe

    micro = RECIPES["image/vit-micro-llama"]
    return replace(
        micro,
        block=BlockRecipe(source="random:32x48x4?seed=0"),
        picture=32,
        patch=16,
        batch=8,
        passes=2,
        validate_every=1,
        timm_schedule=replace(micro.timm_schedule, warmup_passes=0.5),
    )


@pytest.fixture(scope="session")
def make_image_run(
    pictures: Path, tiny_image_recipe: ImageRecipe, maker_of_runs: Callable[..., Callable[..., Any]]
) -> Callable[..., ImageRun]:
    """Makes a run into a folder, with changes to the recipe and other options of the run."""
    from perception_tools.image.run import ImageRun

    return maker_of_runs(ImageRun, tiny_image_recipe, data=pictures, name="image/vit-micro-llama", accelerator="cpu")


@pytest.fixture(scope="session")
def trained_classifier(make_image_run: Callable[..., ImageRun], train_into_folder: Callable[..., Path]) -> Path:
    """The folder of a finished run. Tests must not change it."""
    return train_into_folder("classifier", make_image_run)
