"""What a trained model's block costs in each form, for every task."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from perception.frozen.adapter import build_adapter
from perception_datasets.forecasting import open_forecasting
from perception_tools.bench.model import PRECISIONS, make_timed
from perception_tools.forecasting.model import build_forecaster, load_model, save_model
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.forecasting.scored import asked_agents
from perception_tools.main import main
from perception_tools.training.fit import fit


def timed(out: Path, run: Path, data: Path, options: str) -> dict:
    words = f"bench model {run} --data {data} {options} --json {out / 'times.json'}"
    assert main(words.split()) == 0
    return json.loads((out / "times.json").read_text())


def test_every_form_of_a_forecasters_block_is_timed_on_the_same_calls(
    trained_run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = timed(tmp_path, trained_run, data, "--limit 3 --repeat 2")
    assert (found["name"], found["threads"]) == ("forecast/vectornet-llama", 1)
    assert [form["form"] for form in found["forms"]] == ["trained", *PRECISIONS]
    for form in found["forms"]:
        assert form["calls"] == 2 * 3, "each scenario is a call, in each round"
        assert 0 < form["block_ms_p50"] <= form["block_ms_p99"]
        assert form["ratio"] == pytest.approx(found["forms"][0]["block_ms_p50"] / form["block_ms_p50"])
        assert form["total_s"] > 6 * form["block_ms_p50"] / 2000
    printed = capsys.readouterr().out
    model = load_model(trained_run).model
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters()) - trainable
    assert f"forecast/vectornet-llama, {trainable:,} trainable and {frozen:,} frozen parameters" in printed
    assert all(name in printed for name in ("trained", *PRECISIONS, "p99, ms"))


def test_an_answerers_block_is_timed_too(trained_answerer: Path, rooms_store: Path, tmp_path: Path) -> None:
    found = timed(tmp_path, trained_answerer, rooms_store, "--split test --limit 1 --repeat 1")
    assert [(form["form"], form["calls"]) for form in found["forms"]] == [
        (name, 1) for name in ("trained", *PRECISIONS)
    ]


def test_a_block_that_cannot_be_folded_is_timed_as_it_was_trained(
    trained_run: Path, tiny_recipe: ForecastRecipe, data: Path, tmp_path: Path
) -> None:
    recipe = replace(tiny_recipe, block=replace(tiny_recipe.block, kind="mlp"))
    training = replace(load_model(trained_run).training, name="forecast/vectornet-mlp")
    save_model(tmp_path / "model.safetensors", build_forecaster(recipe, 30), recipe, training)
    found = timed(tmp_path, tmp_path, data, "--limit 1 --repeat 1 --threads 2")
    assert found["threads"] == torch.get_num_threads() == 2
    assert [form["form"] for form in found["forms"]] == ["trained"]
    assert found["forms"][0]["ratio"] == 1


def test_a_model_without_any_block_is_refused(
    make_answerer_run, rooms_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(make_answerer_run(tmp_path, {"blind": True, "passes": 1}, limit=1))
    assert main(["bench", "model", str(tmp_path), "--data", str(rooms_store)]) == 2
    assert f"{tmp_path}: expected a model with a block to time, this one has none" in capsys.readouterr().err


@pytest.mark.parametrize("options", ["--threads 0", "--repeat 0"])
def test_numbers_that_cannot_be_are_refused(options: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "model", "run", "--data", "data", *options.split()]) == 2
    assert "expected at least 1 of each" in capsys.readouterr().err


def test_timing_changes_no_answer_and_leaves_the_model_alone(trained_run: Path, data: Path) -> None:
    model = load_model(trained_run).model
    scenario = open_forecasting(data, "val")[0]
    question = [scenario], [asked_agents(scenario)]
    (expected,), watched = model.forecast(*question), make_timed(model)
    for count in (1, 2):
        (forecast,) = watched.forecast(*question)
        assert (forecast.trajectories == expected.trajectories).all()
        assert len(watched.block.seconds) == count
    assert isinstance(model.block, type(build_adapter(16, kind="none")))
