"""Runs in other runtimes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.forecasting import open_forecasting
from perception_nodes.exported.model_file import open_exported
from perception_tools.export import serving
from perception_tools.export.serving import serve_exported
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.scored import asked_agents
from perception_tools.forecasting.split import Split, trained_shape
from perception_tools.tasks import task_of_run


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_forecasts_are_those_of_the_trained_model(
    backend,
    trained_run: Path,
    data: Path,
    exported_forecaster: tuple[Path, dict],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip(backend)
    monkeypatch.setattr(serving, "exported_file", lambda *_: open_exported(exported_forecaster[0]))
    trained = load_model(trained_run)
    served = serve_exported(trained_run, backend)
    scenes = Split(open_forecasting(data, "val", limit=3), trained_shape([trained]))
    scenarios = [scenario for (scenario,) in scenes.batches(1)]
    asked = [asked_agents(scenario) for scenario in scenarios]
    assert served.horizon_steps == trained.model.horizon_steps
    for expected, found in zip(
        trained.model.forecast(scenarios, asked), served.forecast(scenarios, asked), strict=True
    ):
        np.testing.assert_allclose(found.trajectories, expected.trajectories, atol=1e-4)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
        np.testing.assert_array_equal(found.agents, expected.agents)


def test_a_precision_that_no_file_has_is_refused(trained_run: Path) -> None:
    with pytest.raises(InputError, match="precision int8: exported models have float32, bfloat16, int8_dynamic"):
        serve_exported(trained_run, "onnxruntime", precision="int8")


def test_a_task_that_is_not_served_without_its_model_gets_it(
    trained_run: Path, exported_forecaster: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "exported_file", lambda *_: open_exported(exported_forecaster[0]))
    monkeypatch.setattr(serving, "task_of_run", lambda run: replace(task_of_run(run), served=None))
    trained = load_model(trained_run)
    assert serve_exported(trained_run, "onnxruntime", trained=trained).input is trained.model.input
    assert serve_exported(trained_run, "onnxruntime").horizon_steps == trained.model.horizon_steps


def test_a_node_with_another_runtime_forecasts_without_pytorch(
    exported_forecaster: tuple[Path, dict], forecast_without_torch: Callable[[Path], dict]
) -> None:
    told = forecast_without_torch(exported_forecaster[0])
    assert told["by_model"] > 0
    assert told["model_id"] == open_exported(exported_forecaster[0]).model_id
    assert told["imported"] == []
