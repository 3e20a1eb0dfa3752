"""Runs in other runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.forecasting import open_forecasting
from perception_tools.export import serving
from perception_tools.export.serving import serve_exported
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.scored import asked_agents
from perception_tools.forecasting.split import Split, trained_shape


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_forecasts_are_those_of_the_trained_model(
    backend,
    trained_run: Path,
    data: Path,
    exported_forecaster: tuple[Path, dict],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip(backend)
    monkeypatch.setattr(serving, "exported_beside", lambda *_: exported_forecaster[0])
    trained = load_model(trained_run)
    served = serve_exported(trained_run, trained, backend)
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
        serve_exported(trained_run, load_model(trained_run), "onnxruntime", precision="int8")
