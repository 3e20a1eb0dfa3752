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

    backend, plans_by_size = "stand-in", True

    def __init__(self, model: Forecaster, metadata: dict | None = None, read: tuple[str, ...] = ()) -> None:
        self.model, self.inputs = model, read
        self.example: Any = None
        given = {"future_steps": model.horizon_steps} if metadata is None else metadata
        self.file = ExportedFile(Path("model.onnx"), given, ())

    def run(self, arrays):
        assert arrays.keys() == set(self.inputs), "no more than it reads"
        tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
        rows = arrays["rows"].shape
        labels = {"futures": torch.zeros(*rows, 0, 2), "futures_valid": torch.zeros(*rows, 0, dtype=torch.bool)}
        batch = with_named_tensors(self.example, labels | tensors)
        with torch.inference_mode():
            return {name: value.numpy() for name, value in named_tensors(self.model(batch)).items()}


@pytest.fixture
def model() -> Forecaster:
    torch.manual_seed(0)
    return Forecaster(
        VectorNet(dim=16, heads=2), build_adapter(16, kind="none"), TrajectoryDecoder(16, steps=10)
    ).eval()


def serve(model: Forecaster, example: list[Scenario]) -> ExportedForecaster:
    asked = [np.arange(len(scenario.agents)) for scenario in example]
    batch = model.collate([model.prepare(scenario) for scenario in example], asked)
    stand_in = StandIn(model, read=tuple(name for name in named_tensors(batch) if "futures" not in name))
    stand_in.example = batch
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


class TensorsOnly:
    """An input of somebody's own, which has no `arrays`."""

    def __init__(self, input: Any) -> None:
        self.prepare, self.collate, self.warm_up_agents = input.prepare, input.collate, input.warm_up_agents


def test_an_input_that_makes_tensors_alone_does_too(make_scenario: Callable[..., Scenario], model: Forecaster) -> None:
    scenarios, asked = [make_scenario("a", agents=3)], [np.array([0, 2])]
    served = serve(model, scenarios)
    (expected,) = served.forecast(scenarios, asked)
    (found,) = ExportedForecaster(served.runtime, TensorsOnly(model.input)).forecast(scenarios, asked)
    np.testing.assert_array_equal(found.trajectories, expected.trajectories)


def test_it_warms_up_for_every_size_only_where_the_runtime_plans_by_size(
    make_scenario: Callable[..., Scenario], model: Forecaster
) -> None:
    served = serve(model, [make_scenario("a", agents=3)])
    assert [*served.warm_up_agents(33)] == [*model.warm_up_agents(33)]
    served.runtime.plans_by_size = False
    assert [*served.warm_up_agents(33)] == [*model.warm_up_agents(33)][-1:]
