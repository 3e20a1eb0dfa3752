"""A trained model's block in its deployment form: written for every task's model, and compared on its data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from perception.frozen.adapter import build_adapter
from perception.frozen.folded_file import load_folded
from perception.tokens import Readout, Tokens
from perception_nodes.block.host import load_pipelines
from perception_tools.folding import ComparedBlock, fold_run, write_pipelines
from perception_tools.forecasting.model import build_forecaster, load_model, save_model
from perception_tools.forecasting.recipes import RECIPES, ForecastRecipe
from perception_tools.main import main
from perception_tools.scene_qa.evaluate import evaluate_answerers
from perception_tools.scene_qa.run import SceneQaRun
from perception_tools.training.fit import fit

PRECISIONS = ("float32", "bfloat16", "int8", "int8_dynamic")


def tokens_of(dim: int, seed: int = 0) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    return Tokens(torch.randn(1, 5, dim, generator=generator), torch.ones(1, 5, dtype=torch.bool))


def folded_rows(run: Path, out: Path, *options: str) -> dict[str, dict]:
    """What `perception block fold RUN OUT --data …` measured, by precision."""
    assert main(["block", "fold", str(run), str(out), *options]) == 0
    return {row["precision"]: row for row in json.loads((out / "precisions.json").read_text())["precisions"]}


def check_rows(rows: dict[str, dict], metrics: set[str]) -> None:
    assert rows.keys() == {"unfolded", *PRECISIONS}
    assert rows["unfolded"]["relative_error"] == 0
    exact, *narrow = (rows[name]["relative_error"] for name in PRECISIONS)
    assert exact < 1e-6 < min(narrow), "how the narrow ones compare depends on the processor's products"
    assert max(narrow) < 0.1
    for row in rows.values():
        assert row.keys() == {"precision", "megabytes", "relative_error", "block_ms", *metrics}
        assert row["block_ms"] > 0
        assert row["megabytes"] > 0


def test_every_precision_of_a_forecaster_is_measured_on_real_tokens_and_by_its_metrics(
    trained_run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = folded_rows(trained_run, tmp_path, "--data", str(data), "--limit", "3", "--json", str(tmp_path / "all.json"))
    check_rows(rows, {"min_fde", "miss_rate", "min_fde_k1"})
    assert rows["float32"]["min_fde"] == pytest.approx(rows["unfolded"]["min_fde"], abs=1e-4)
    assert json.loads((tmp_path / "all.json").read_text()) == json.loads((tmp_path / "precisions.json").read_text())
    said = capsys.readouterr().out
    assert all(word in said for word in ("int8_dynamic", "miss_rate", "block, ms"))


def test_every_precision_of_an_answerer_is_measured_by_its_own(
    trained_answerer: Path, rooms_store: Path, tmp_path: Path
) -> None:
    rows = folded_rows(trained_answerer, tmp_path, "--data", str(rooms_store), "--split", "test", "--limit", "1")
    check_rows(rows, {"em1", "em10"})
    metrics = evaluate_answerers((trained_answerer,), rooms_store, tmp_path / "evaluated", split="test", limit=1)
    for name in ("unfolded", "float32"):
        assert (rows[name]["em1"], rows[name]["em10"]) == (metrics["em1"], metrics["em10"]), name


def test_files_alone_are_written_without_data_and_belong_to_the_model(trained_run: Path, tmp_path: Path) -> None:
    assert fold_run(trained_run, tmp_path, ["int8"], None, split="val", limit=None) == []
    path = tmp_path / "int8" / "forecast-vectornet-llama.safetensors"
    trained = load_model(trained_run).model.get_submodule("block.project_in")
    assert load_folded(path).attention.project_in.in_features == trained.in_features
    assert not (tmp_path / "precisions.json").exists()


@pytest.mark.parametrize("kind", ["mlp", "none"])
def test_a_forecaster_without_a_language_block_has_nothing_to_fold(
    tiny_recipe: ForecastRecipe, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    name = "forecast/vectornet" + ("-mlp" if kind == "mlp" else "")
    recipe = replace(tiny_recipe, block=replace(RECIPES[name].block, source=tiny_recipe.block.source))
    training = replace(load_model(trained_run).training, name=name)
    save_model(tmp_path / "model.safetensors", build_forecaster(recipe, 30), recipe, training)
    assert main(["block", "fold", str(tmp_path), str(tmp_path / "out")]) == 2
    complaint = f"{tmp_path}: expected a model with a language block, this one has none; there is nothing to fold"
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_blind_answerer_has_nothing_to_fold_either(
    make_answerer_run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run: SceneQaRun = make_answerer_run(tmp_path / "run", {"blind": True, "passes": 1}, limit=1)
    fit(run)
    assert main(["block", "fold", str(run.out), str(tmp_path / "out")]) == 2
    assert "this one has none; there is nothing to fold" in capsys.readouterr().err


def test_two_models_around_one_block_become_pipelines_of_one_service(tmp_path: Path) -> None:
    torch.manual_seed(0)
    widths = {"forecast/vectornet-llama": 16, "scene-qa/rooms-llama": 24}
    adapters = {
        name: build_adapter(dim, source="random:32x48x4?seed=0").requires_grad_(False) for name, dim in widths.items()
    }
    for name, adapter in adapters.items():
        assert write_pipelines(adapter, name, tmp_path, ["float32"]).keys() == {"float32"}
    pipelines = load_pipelines(tmp_path / "float32")
    assert pipelines.keys() == {"forecast-vectornet-llama", "scene-qa-rooms-llama"}
    assert len({id(pipeline.tail) for pipeline in pipelines.values()}) == 1
    for name, adapter in adapters.items():
        tokens = tokens_of(widths[name])
        ours, alone = pipelines[name.replace("/", "-")](tokens, Readout()), adapter(tokens, Readout())
        assert (ours - alone).norm() < 1e-5 * alone.norm()


@pytest.mark.parametrize("residual", [False, True])
def test_an_error_is_of_what_the_block_adds_over_all_calls(residual: bool) -> None:
    torch.manual_seed(0)
    adapter = build_adapter(16, source="random:32x48x4?seed=0", residual=residual).requires_grad_(False)
    torch.nn.init.normal_(adapter.get_parameter("project_out.weight"))

    class Off(torch.nn.Module):
        def forward(self, tokens: Tokens, readout: Readout) -> torch.Tensor:
            added = adapter(tokens, readout) - residual * readout.gather(tokens.values)
            return residual * readout.gather(tokens.values) + 1.1 * added

    compared = ComparedBlock(Off(), adapter)
    rows = Readout(torch.tensor([[4, 0, 0]]), torch.tensor([[True, True, False]]))
    for seed in range(2):
        tokens = tokens_of(16, seed)
        assert torch.equal(compared(tokens, rows), compared.block(tokens, rows)), "it gives what its block gives"
    assert (compared.difference / compared.truth) ** 0.5 == pytest.approx(0.1, rel=1e-4)
    assert len(compared.seconds) == 2


def test_the_padding_of_a_readout_is_no_error() -> None:
    torch.manual_seed(0)
    adapter = build_adapter(16, source="random:32x48x4?seed=0").requires_grad_(False)

    class WrongInPadding(torch.nn.Module):
        def forward(self, tokens: Tokens, readout: Readout) -> torch.Tensor:
            out = adapter(tokens, readout).clone()
            out[:, -1] += 100
            return out

    compared = ComparedBlock(WrongInPadding(), adapter)
    compared(tokens_of(16), Readout(torch.tensor([[1, 2]]), torch.tensor([[True, False]])))
    assert compared.difference == 0 < compared.truth
