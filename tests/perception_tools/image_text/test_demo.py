"""The demo: the whole way in one call."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from perception_tools import blocks
from perception_tools.image_text import demo as demo_module
from perception_tools.image_text.demo import demo
from perception_tools.image_text.recipes import RECIPES, ImageTextRecipe


def test_it_draws_trains_each_kind_and_says_that_the_pictures_are_drawn(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tiny_recipe: Callable[..., ImageTextRecipe],
) -> None:
    recipes = {name: tiny_recipe(block=RECIPES[name].block) for name in demo_module.DEMO_RECIPES}
    recipes = {name: replace(recipe, passes=1) for name, recipe in recipes.items()}
    monkeypatch.setattr(demo_module, "RECIPES", recipes)
    monkeypatch.setattr(demo_module, "TRAIN_PICTURES", 4)
    monkeypatch.setattr(demo_module, "VAL_PICTURES", 3)
    monkeypatch.setattr(blocks, "PRETRAINED", "random:32x48x4?seed=0")
    demo(tmp_path, steps=2)
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert (metrics["pictures"], metrics["questions"]) == (3, 18)
    assert [metrics["name"], *metrics["others"]] == list(demo_module.DEMO_RECIPES)
    assert "SYNTHETIC pictures" in (tmp_path / "report" / "report.html").read_text()
    assert (tmp_path / "report" / "report.html").as_uri() in capsys.readouterr().out
