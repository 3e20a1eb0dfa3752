"""Recipes go to JSON and back, and a file is whole or not there."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.recipes import DESCRIPTIONS, RECIPES, BlockRecipe, ForecastRecipe, write_json


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_from_its_json(name: str) -> None:
    recipe = dataclasses.replace(RECIPES[name], seed=7, learning_rate=3e-4)
    assert ForecastRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    "values",
    [
        {**ForecastRecipe().to_json(), "attention": "more"},
        {"dim": 256},
        {**ForecastRecipe().to_json(), "block": {"kind": "none", "flavour": "vanilla"}},
    ],
)
def test_a_recipe_of_another_version_is_refused(values: dict) -> None:
    with pytest.raises(InputError, match="expected the fields of this version's ForecastRecipe"):
        ForecastRecipe.from_json(values)


def test_the_controls_differ_from_the_method_in_their_block_alone() -> None:
    method = RECIPES["forecast/vectornet-llama"]
    kinds = {name: recipe.block.kind for name, recipe in RECIPES.items()}
    assert kinds == {
        "forecast/vectornet": "none",
        "forecast/vectornet-llama": "language",
        "forecast/vectornet-mlp": "mlp",
        "forecast/vectornet-random": "random",
    }
    for name, recipe in RECIPES.items():
        assert dataclasses.replace(recipe, block=BlockRecipe()) == dataclasses.replace(method, block=BlockRecipe())
        assert dataclasses.replace(recipe.block, kind="language") == method.block, name


def test_every_recipe_has_its_line_of_help() -> None:
    assert DESCRIPTIONS.keys() == RECIPES.keys()


def test_json_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"min_fde": 1.5})

    def full_disk(_path: Path, text: str) -> None:
        with _path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full_disk)
        with pytest.raises(OSError, match="No space"):
            write_json(path, {"min_fde": 2.5})
    assert json.loads(path.read_text()) == {"min_fde": 1.5}
    write_json(path, {"min_fde": 3.5})
    assert json.loads(path.read_text()) == {"min_fde": 3.5}
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]
