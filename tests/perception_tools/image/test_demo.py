"""The demo: the whole way in one call."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from perception_tools import blocks
from perception_tools.image import demo as demo_module
from perception_tools.image.demo import demo
from perception_tools.image.recipes import RECIPES, ImageRecipe


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, tiny_image_recipe: ImageRecipe) -> None:
    recipes = {name: replace(tiny_image_recipe, block=recipe.block) for name, recipe in RECIPES.items()}
    monkeypatch.setattr(demo_module, "RECIPES", recipes)
    monkeypatch.setattr(demo_module, "TRAIN_PICTURES", 16)
    monkeypatch.setattr(demo_module, "VAL_PICTURES", 8)
    monkeypatch.setattr(blocks, "PRETRAINED", "random:32x48x4?seed=0")


def test_it_draws_trains_each_kind_with_two_seeds_and_says_that_the_pictures_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo(tmp_path, steps=2)
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["pictures"] == 8
    assert len(metrics["systems"]) == 3
    assert [len(system["seeds"]) for system in metrics["systems"]] == [2, 2, 2]
    assert "SYNTHETIC shapes" in (tmp_path / "report" / "report.html").read_text()
    assert (tmp_path / "report" / "report.html").as_uri() in capsys.readouterr().out


def test_it_takes_pictures_of_ones_own(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "SEEDS", (0,))
    monkeypatch.setattr(demo_module, "DEMO_RECIPES", ("image/vit-micro",))
    demo(tmp_path / "out", data=pictures, steps=2)
    page = (tmp_path / "out" / "report" / "report.html").read_text()
    assert "SYNTHETIC" not in page
    assert str(pictures) in page
