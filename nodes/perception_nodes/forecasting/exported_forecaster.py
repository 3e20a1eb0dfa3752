"""A forecaster that a runtime computes, with the interface that nodes and evaluation know from the trained model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from perception.batches import named_tensors
from perception.encoders.forecasting import ForecastInput
from perception.errors import InputError
from perception.traffic.agent_frames import forecasts_in_city
from perception.traffic.scenario import Forecast, MapPolylines, Scenario
from perception_nodes.exported.runtimes import Runtime


class ExportedForecaster:
    """A graph of tensors, and how scenarios are shown to it.

    Args:
        runtime: The graph.
        input: Shows scenarios to the encoder that was exported.

    Raises:
        InputError: The file does not say how many steps a future has.
    """

    def __init__(self, runtime: Runtime, input: ForecastInput) -> None:
        steps = runtime.file.metadata.get("future_steps")
        if type(steps) is not int or steps < 1:
            raise InputError(
                f"{runtime.file.path}: expected future_steps in its metadata, found {steps!r}; export again"
            )
        self.runtime, self.input, self.horizon_steps = runtime, input, steps

    def prepare(self, scenario: Scenario) -> Any:
        """What can be computed once for a scenario; see `ForecastInput.prepare`."""
        return self.input.prepare(scenario)

    def encode_map(self, lanes: MapPolylines) -> None:  # noqa: ARG002
        """Nothing is kept with a map: the graph encodes the lanes that a scenario sees."""
        return

    def warm_up_agents(self, most: int) -> Iterable[int]:
        """Numbers of agents, up to `most`, at which the first forecast takes longer than later ones."""
        return self.input.warm_up_agents(most)

    def forecast(
        self,
        scenarios: Sequence[Scenario],
        agents: Sequence[Int[np.ndarray, " _"]],
        lanes: object = None,  # noqa: ARG002
    ) -> list[Forecast]:
        """Futures in the city frame, of the wanted agents of each scenario, all in one call.

        Args:
            scenarios: What is known.
            agents: For each scenario, which of its agents are wanted. They must be observed at the present step; at
                least one a scenario.
            lanes: Not used; see `encode_map`.
        """
        batch = self.input.collate([self.prepare(scenario) for scenario in scenarios], agents)
        answer = self.runtime.run({name: tensor.numpy() for name, tensor in named_tensors(batch).items()})
        valid = batch.rows_valid.numpy()
        trajectories = answer["trajectories"].astype(np.float64)[valid]
        return forecasts_in_city(scenarios, agents, trajectories, _softmax(answer["logits"][valid]))


def _softmax(logits: Float[np.ndarray, "asked modes"]) -> Float[np.ndarray, "asked modes"]:
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
