"""A forecaster that a runtime computes, with the interface that nodes and evaluation know from the trained model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int

from perception.errors import InputError
from perception.traffic.agent_frames import forecasts_in_city
from perception.traffic.scenario import Forecast, MapPolylines, Scenario
from perception_nodes.exported.probabilities import softmax
from perception_nodes.exported.runtimes import Runtime

if TYPE_CHECKING:
    from perception.encoders.forecasting import ForecastInput


class ExportedForecaster:
    """A graph of tensors, and how scenarios are shown to it. Imports PyTorch only for an input that has no `arrays`.

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
        sizes = list(self.input.warm_up_agents(most))
        return sizes if self.runtime.plans_by_size else sizes[-1:]

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
        arrays, valid = self._show([self.prepare(scenario) for scenario in scenarios], agents)
        answer = self.runtime.run(arrays)
        trajectories = answer["trajectories"].astype(np.float64)[valid]
        return forecasts_in_city(scenarios, agents, trajectories, softmax(answer["logits"][valid]))

    def _show(
        self, prepared: Sequence[Any], agents: Sequence[Int[np.ndarray, " _"]]
    ) -> tuple[Mapping[str, np.ndarray], Bool[np.ndarray, "views rows"]]:
        """Returns what the graph reads, and which rows of its answer are the agents'."""
        make_arrays = getattr(self.input, "arrays", None)
        if make_arrays is not None:
            arrays = make_arrays(prepared, agents)
            return {name: arrays[name] for name in self.runtime.inputs if name in arrays}, arrays["rows_valid"]
        from perception.batches import named_tensors

        batch = self.input.collate(prepared, agents)
        tensors = named_tensors(batch)
        read = {name: tensors[name].numpy() for name in self.runtime.inputs if name in tensors}
        return read, batch.rows_valid.numpy()
