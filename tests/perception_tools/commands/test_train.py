"""The command line of training: a word is a recipe, and every number of it an option."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perception_tools.forecasting.recipes import RECIPES
from perception_tools.forecasting.run import ForecastRun
from perception_tools.main import main
from perception_tools.training.recipes import BlockRecipe


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch):
    """The run that the command line asks for, without running it."""

    def parse_words(*words: str) -> ForecastRun:
        runs: list[ForecastRun] = []
        monkeypatch.setattr("perception_tools.training.fit.fit", runs.append)
        assert main(["train", *words, "--data", "in", "--out", "out"]) == 0
        return runs[0]

    return parse_words


@pytest.mark.parametrize("name", RECIPES)
def test_a_word_is_its_recipe(parse, name: str) -> None:
    assert parse(name) == ForecastRun(data=Path("in"), out=Path("out"), recipe=RECIPES[name], name=name)


def test_every_number_can_be_given(parse) -> None:
    run = parse("forecast/vectornet-llama", *"--learning-rate 2e-4 --frame agent --source random:4x8x2".split())
    block = BlockRecipe(source="random:4x8x2")
    expected = replace(RECIPES["forecast/vectornet-llama"], learning_rate=2e-4, view="agent", block=block)
    assert run.recipe == expected


def test_options_of_the_run_stand_beside_the_recipe(parse) -> None:
    run = parse("forecast/vectornet", *"--limit 10 --val-limit 5 --devices 2 --restart --val-split test".split())
    assert (run.limit, run.val_limit, run.devices, run.restart, run.val_split) == (10, 5, 2, True, "test")
    assert run.recipe == RECIPES["forecast/vectornet"]


def test_an_unknown_recipe_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "forecast/nothing"])
    assert "forecast/vectornet-llama" in capsys.readouterr().err
