"""Small clouds that can be told apart by their shape alone, a tiny recipe, and a run of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception_tools.points.recipes import PointRecipe
    from perception_tools.points.run import PointRun


@pytest.fixture(scope="session")
def write_clouds() -> Callable[..., Path]:
    """Writes balls, sticks and plates of 60 points with a little noise."""

    def write(folder: Path, *, train: int = 12, test: int = 4, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        for split, count in (("train", train), ("test", test)):
            for kind, size in (("ball", (1, 1, 1)), ("plate", (1, 1, 0.05)), ("stick", (0.1, 0.1, 1))):
                (folder / split / kind).mkdir(parents=True, exist_ok=True)
                for number in range(count):
                    points = rng.normal(size=(60, 3))
                    points = points / np.linalg.norm(points, axis=1, keepdims=True) * size + rng.normal(
                        0, 0.02, (60, 3)
                    )
                    np.save(folder / split / kind / f"{number}.npy", points.astype(np.float32))
        return folder

    return write


@pytest.fixture(scope="session")
def clouds(write_clouds: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clouds. Tests must not change them."""
    return write_clouds(tmp_path_factory.mktemp("clouds") / "shapes")


@pytest.fixture(scope="session")
def tiny_point_recipe() -> PointRecipe:
    """A recipe that trains in a second: two passes of four steps, around a seeded random block."""
    from perception_tools.points.recipes import RECIPES, AugmentationRecipe
    from perception_tools.training.recipes import BlockRecipe

    micro = RECIPES["points/micro-llama"]
    return replace(
        micro,
        block=BlockRecipe(source="random:32x48x4?seed=0"),
        points=32,
        groups=4,
        group_size=8,
        head_width=16,
        batch=7,
        passes=2,
        augmentation=AugmentationRecipe(oversample=40, stretch=1.1, shift=0.05),
        timm_schedule=replace(micro.timm_schedule, warmup_passes=0.5),
    )


@pytest.fixture(scope="session")
def make_point_run(
    clouds: Path, tiny_point_recipe: PointRecipe, maker_of_runs: Callable[..., Callable[..., Any]]
) -> Callable[..., PointRun]:
    """Makes a run into a folder, with changes to the recipe and other options of the run."""
    from perception_tools.points.run import PointRun

    return maker_of_runs(
        PointRun, tiny_point_recipe, data=clouds, name="points/micro-llama", accelerator="cpu", held_out=0.25, logger=()
    )


@pytest.fixture(scope="session")
def trained_points(make_point_run: Callable[..., PointRun], train_into_folder: Callable[..., Path]) -> Path:
    """The folder of a finished run. Tests must not change it."""
    return train_into_folder("classifier", make_point_run)
