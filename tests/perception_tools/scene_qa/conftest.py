"""A tiny answerer, and a run of it on ten made rooms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception_tools.scene_qa.recipes import SceneQaRecipe
    from perception_tools.scene_qa.run import SceneQaRun


@pytest.fixture(scope="session")
def tiny_answerer() -> SceneQaRecipe:
    """Two passes of few steps, around a seeded random block."""
    from perception_tools.scene_qa.recipes import ROOMS
    from perception_tools.training.recipes import BlockRecipe

    return replace(
        ROOMS,
        block=BlockRecipe(source="random:32x48x4?seed=0"),
        points=600,
        proposals=8,
        dim=16,
        heads=2,
        layers=1,
        pooled_dim=16,
        word_dim=8,
        text_dim=16,
        passes=2,
        scenes=2,
        questions_per_scene=30,
        warmup_steps=2,
    )


@pytest.fixture(scope="session")
def make_answerer_run(rooms_store: Path, tiny_answerer: SceneQaRecipe) -> Callable[..., SceneQaRun]:
    """Makes a run into a folder, with changes to the recipe and other options of the run."""
    from perception_tools.scene_qa.run import SceneQaRun

    def make(out: Path, recipe: dict | None = None, **options) -> SceneQaRun:
        given = {"data": rooms_store, "out": out, "recipe": replace(tiny_answerer, **(recipe or {}))}
        return SceneQaRun(**{**given, "name": "scene-qa/rooms-llama", "limit": 3, **options})

    return make


@pytest.fixture(scope="session")
def trained_answerer(make_answerer_run: Callable[..., SceneQaRun], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run. Tests must not change it."""
    from perception_tools.training.fit import fit

    out = tmp_path_factory.mktemp("answerer") / "run"
    fit(make_answerer_run(out, accelerator="cpu"))
    return out
