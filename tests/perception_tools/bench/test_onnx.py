"""Exported models beside PyTorch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception_tools.bench.onnx import bench_onnx, untrained
from perception_tools.bench.onnx_ways import FIRST
from perception_tools.tasks import task_of_recipe


def test_every_way_is_timed_on_the_same_batch_and_compared(
    trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = bench_onnx((trained_run,), json=tmp_path / "onnx.json", repeat=2, quick=True)
    assert json.loads((tmp_path / "onnx.json").read_text()) == result
    timings = {timing["way"]: timing for timing in result["timings"]}
    assert list(timings)[:3] == [FIRST, "torch int8_dynamic", "torch, not folded"]
    assert {"onnxruntime float32", "onnxruntime int8"} <= timings.keys()
    assert timings[FIRST]["speed"] == 1
    assert timings["onnxruntime float32"]["error"] < 1e-5
    assert 0 < timings["onnxruntime int8"]["error"] < 0.1
    for timing in timings.values():
        assert 0 < timing["p50_ms"] <= timing["p99_ms"] <= timing["max_ms"]
        assert timing["case"] == "100 agents and 40 lanes"
        assert timing["records_per_s"] == pytest.approx(100 / timing["p50_ms"] * 1e3)
        assert timing["memory_mb"] is None or timing["memory_mb"] > 0
    assert "onnxruntime int8" in capsys.readouterr().out


def test_models_of_a_recipe_are_timed_by_its_name() -> None:
    with pytest.raises(InputError, match="there is no recipe 'image/vit-micr'; did you mean"):
        bench_onnx(recipe=("image/vit-micr",))


def test_the_block_of_an_untrained_model_counts_in_the_error() -> None:
    trained = untrained(task_of_recipe("forecast/query-centric-micro-llama"), "random:64x96x4")
    adapter = trained.model.block
    assert isinstance(adapter, FrozenBlockAdapter)
    assert all(parameter.all() for parameter in adapter.project_out.parameters())


@pytest.mark.parametrize("options", [{"repeat": 0}, {"threads": 0}])
def test_nothing_is_timed_without_a_round_or_a_thread(options: dict) -> None:
    with pytest.raises(InputError, match="expected at least 1"):
        bench_onnx((), **options)
