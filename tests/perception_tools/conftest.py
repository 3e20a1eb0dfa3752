"""A tiny data set, a tiny recipe, and a run of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception_tools.recipes import ForecastRecipe
    from perception_tools.train import TrainingRun


@pytest.fixture(scope="session")
def write_data(
    write_argoverse1: Callable[..., Path],
    write_argoverse1_csv: Callable[..., Path],
    make_argoverse1_rows: Callable[..., list[str]],
) -> Callable[[Path], Path]:
    """Writes eight train and five val scenes of Argoverse 1.

    Each AGENT speeds up or brakes in its own way; in every other train scene nobody else is there.
    """

    def rows(number: int, alone: bool) -> Iterator[str]:
        for row in make_argoverse1_rows(seed=number):
            time, track, kind, x, *rest = row.split(",")
            if kind == "AGENT":
                x = str(float(x) + 0.006 * np.sin(number) * float(x) ** 2)
            if kind == "AGENT" or not alone:
                yield ",".join([time, track, kind, x, *rest])

    def write(folder: Path) -> Path:
        write_argoverse1(folder, train=8, val=5)
        for path in folder.glob("*/data/*.csv"):
            number = int(path.stem)
            write_argoverse1_csv(path, list(rows(number, alone=path.parts[-3] == "train" and number % 2 == 0)))
        return folder

    return write


@pytest.fixture(scope="session")
def data(write_data: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set. Tests must not change it."""
    return write_data(tmp_path_factory.mktemp("data") / "argoverse1")


@pytest.fixture(scope="session")
def tiny_recipe() -> ForecastRecipe:
    """A recipe that trains in a second: three passes of four steps, around a seeded random block."""
    from perception_tools.recipes import BlockRecipe, ForecastRecipe

    return ForecastRecipe(
        block=BlockRecipe(source="random:32x48x4?seed=0"),
        dim=16,
        heads=2,
        passes=3,
        batch_scenarios=2,
        targets_per_scenario=3,
        warmup_steps=2,
        validate_every=1,
    )


@pytest.fixture(scope="session")
def make_run(data: Path, tiny_recipe: ForecastRecipe) -> Callable[..., TrainingRun]:
    """Makes a run into a folder, with changes to the recipe and other options of the run."""
    from perception_tools.train import TrainingRun

    def make(out: Path, recipe: dict | None = None, **options) -> TrainingRun:
        given = {"data": data, "out": out, "recipe": replace(tiny_recipe, **(recipe or {}))}
        return TrainingRun(**{**given, "name": "forecast/vectornet-llama", **options})

    return make


@pytest.fixture(scope="session")
def trained_run(make_run: Callable[..., TrainingRun], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run. Tests must not change it."""
    from perception_tools.training import fit

    out = tmp_path_factory.mktemp("trained") / "run"
    fit(make_run(out, accelerator="cpu"))
    return out
