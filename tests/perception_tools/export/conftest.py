"""Tiny models that are exported once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from onnx import ModelProto

    from perception_tools.forecasting.recipes import ForecastRecipe


@pytest.fixture(scope="session")
def exported_forecaster(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The tiny forecaster's file, and what exporting it said. Tests must not change it."""
    from perception_tools.export import run

    def keep(*given: object) -> ModelProto:
        traced = trace(*given)  # pyright: ignore[reportArgumentType]
        (out.parent / "traced").write_bytes(traced.SerializeToString())
        return traced

    out, trace = tmp_path_factory.mktemp("exported") / "forecaster.onnx", run.trace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "trace", keep)
        return out, run.export_run(trained_run, out)


@pytest.fixture
def traced_before(exported_forecaster: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the graph of the tiny forecaster at hand instead of tracing it again, which takes seconds."""
    from onnx import load

    from perception_tools.export import run

    monkeypatch.setattr(run, "trace", lambda *_: load(exported_forecaster[0].parent / "traced"))


@pytest.fixture
def run_without_block(tiny_recipe: ForecastRecipe, tmp_path: Path) -> Path:
    """A baseline's model file, untrained."""
    from perception_tools.forecasting.model import Training, build_forecaster, save_model
    from perception_tools.training.recipes import BlockRecipe

    recipe, path = replace(tiny_recipe, block=BlockRecipe(kind="none")), tmp_path / "baseline" / "model.safetensors"
    path.parent.mkdir()
    save_model(path, build_forecaster(recipe, 30), recipe, Training("forecast/vectornet", "made", 1, 20, 30, 0))
    return path.parent
