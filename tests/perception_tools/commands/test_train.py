"""The command line of training: a word is a recipe, and every number of it an option."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from perception_tools.forecasting.recipes import RECIPES
from perception_tools.forecasting.run import ForecastRun
from perception_tools.main import main
from perception_tools.recipe_list import list_recipes
from perception_tools.references import resolve
from perception_tools.tasks import all_tasks
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
    run = parse(
        "forecast/vectornet-llama",
        *"--learning-rate 2e-4 --view agent --encoder own:Encoder --source random:4x8x2".split(),
    )
    block = BlockRecipe(source="random:4x8x2")
    changed = {"learning_rate": 2e-4, "view": "agent", "encoder": "own:Encoder", "block": block}
    assert run.recipe == replace(RECIPES["forecast/vectornet-llama"], **changed)


def test_options_of_the_run_stand_beside_the_recipe(parse) -> None:
    run = parse("forecast/vectornet", *"--limit 10 --val-limit 5 --devices 2 --restart --val-split test".split())
    assert (run.limit, run.val_limit, run.devices, run.restart, run.val_split) == (10, 5, 2, True, "test")
    assert run.recipe == RECIPES["forecast/vectornet"]


def test_a_recipe_of_each_task_is_a_run_of_its_own_kind(parse) -> None:
    for task in all_tasks():
        assert type(parse(next(iter(task.recipes)))) is resolve(task.run)


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_help_lists_every_recipe(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *words]) == 0
    assert list_recipes() in capsys.readouterr().out


def test_without_a_recipe_all_are_listed_and_it_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 2
    shown, err = capsys.readouterr()
    assert shown == ""
    assert list_recipes() in err
    assert err.endswith("perception train: expected the name of a recipe, got none; give one of those above\n")


def test_options_before_the_recipe_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", "in", "forecast/vectornet"]) == 2
    assert "expected the name of a recipe first, got --data" in capsys.readouterr().err


def test_a_mistyped_recipe_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "forecast/vectornet-lama", "--data", "in", "--out", "out"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("perception train: there is no recipe 'forecast/vectornet-lama'; did you mean forecast/")
    assert err.count("\n") == 1


def test_a_recipes_help_says_what_it_is_and_shows_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "scene-qa/rooms-mlp", "--help"])
    assert stop.value.code == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "questions about made rooms, small, control: GELU and LayerNorm in place of the block" in shown
    assert "--pooled-dim INT" in shown
    assert "(default: 128)" in shown


def test_an_encoder_of_ones_own_is_trained_evaluated_and_replayed_from_the_command_line(
    own_encoder: str, data: Path, sensor_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = "--dim 16 --batch-scenarios 2 --passes 1 --source random:32x48x4?seed=0 --accelerator cpu"
    words = f"train forecast/vectornet-llama --encoder {own_encoder} {tiny} --data {data} --out run --json given.json"
    assert main(words.split()) == 0
    assert json.loads(Path("given.json").read_text()) == {"model": "run/model.safetensors"}
    del sys.modules["track_encoders"]  # the others are processes of their own
    assert main(f"evaluate run --data {data} --limit 2 --out evaluated".split()) == 0
    metrics = json.loads(Path("evaluated/metrics.json").read_text())
    assert (metrics["name"], metrics["scenarios"]) == (f"vectornet-llama ({own_encoder})", 2)
    capsys.readouterr()
    assert main(f"replay {sensor_log} --checkpoint run --lockstep".split()) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["answered"] == 30
    assert summary["windows_compared"] == 11
    assert summary["max_difference_to_offline"] < 1e-5


def test_an_encoder_that_is_not_there_is_said_in_one_sentence(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"train forecast/vectornet --encoder nowhere:Encoder --data {data} --out {tmp_path / 'run'}"
    assert main(words.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("perception train: encoder nowhere:Encoder: there is no module 'nowhere'; ")
    assert not (tmp_path / "run").exists()
