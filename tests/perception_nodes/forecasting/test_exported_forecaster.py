"""A forecaster in a runtime, which a stand-in computes here with the model itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perception.batches import named_tensors, with_named_tensors
from perception.encoders.vectornet.network import VectorNet
from perception.errors import InputError
from perception.frozen.adapter import build_adapter
from perception.heads.trajectory import TrajectoryDecoder
from perception.models.forecaster import Forecaster
from perception.traffic.scenario import Scenario
from perception_nodes.exported.model_file import ExportedFile
from perception_nodes.forecasting.exported_forecaster import ExportedForecaster
from perception_nodes.forecasting.node import ForecastingNode


class StandIn:
    """A runtime that asks the model."""

    backend, inputs = "stand-in", ()

    def __init__(self, model: Forecaster, metadata: dict | None = None) -> None:
        self.model = model
        self.example: Any = None
        given = {"future_steps": model.horizon_steps} if metadata is None else metadata
        self.file = ExportedFile(Path("model.onnx"), given, ())

    def run(self, arrays):
        batch = with_named_tensors(self.example, {name: torch.from_numpy(value) for name, value in arrays.items()})
        with torch.inference_mode():
            return {name: value.numpy() for name, value in named_tensors(self.model(batch)).items()}


@pytest.fixture
def model() -> Forecaster:
    torch.manual_seed(0)
    return Forecaster(
        VectorNet(dim=16, heads=2), build_adapter(16, kind="none"), TrajectoryDecoder(16, steps=10)
    ).eval()


def serve(model: Forecaster, example: list[Scenario]) -> ExportedForecaster:
    stand_in = StandIn(model)
    asked = [np.arange(len(scenario.agents)) for scenario in example]
    stand_in.example = model.collate([model.prepare(scenario) for scenario in example], asked)
    return ExportedForecaster(stand_in, model.input)


def test_forecasts_are_in_the_city_frame_as_the_models(
    make_scenario: Callable[..., Scenario], model: Forecaster
) -> None:
    scenarios = [make_scenario("a", agents=3), make_scenario("b", agents=2)]
    asked = [np.array([2, 0]), np.array([1])]
    served = serve(model, scenarios)
    pairs = zip(model.forecast(scenarios, asked), served.forecast(scenarios, asked), strict=True)
    for expected, found in pairs:
        np.testing.assert_allclose(found.trajectories, expected.trajectories, atol=1e-5)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)
        np.testing.assert_array_equal(found.agents, expected.agents)
    assert served.horizon_steps == 10


def test_a_node_takes_it_in_place_of_the_model(make_scenario: Callable[..., Scenario], model: Forecaster) -> None:
    node = ForecastingNode()
    served = serve(model, [make_scenario("a", agents=3)])
    node.configure(served, history_steps=5, model_id="exported")  # pyright: ignore[reportArgumentType]
    assert node.model_id == "exported"
    assert served.encode_map(make_scenario().map) is None


@pytest.mark.parametrize("steps", [None, 0, "30"])
def test_a_file_that_does_not_say_how_far_it_looks_is_refused(steps: object, model: Forecaster) -> None:
    with pytest.raises(InputError, match="expected future_steps in its metadata"):
        ExportedForecaster(StandIn(model, {"future_steps": steps}), model.input)
