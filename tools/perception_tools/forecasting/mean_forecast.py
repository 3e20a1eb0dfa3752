"""One forecast from several of the same agents: the mean of futures that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from perception.errors import InputError
from perception.models.forecaster import Forecaster
from perception.traffic.mirror import mirror_forecast, mirror_scenario
from perception.traffic.scenario import Forecast, Scenario


@dataclass(frozen=True)
class MeanForecaster:
    """The mean of what several models forecast, and of what they forecast of the mirrored scenario.

    Attributes:
        models: One or more.
        mirrored: Whether each model also sees every scenario with left and right exchanged.
    """

    models: tuple[Forecaster, ...]
    mirrored: bool

    def forecast(self, scenarios: Sequence[Scenario], agents: Sequence[Int[np.ndarray, " _"]]) -> list[Forecast]:
        """Futures of the wanted agents of each scenario."""
        forecasts = [model.forecast(scenarios, agents) for model in self.models]
        if self.mirrored:
            reflections = [mirror_scenario(scenario) for scenario in scenarios]
            forecasts += [
                [mirror_forecast(forecast) for forecast in model.forecast(reflections, agents)] for model in self.models
            ]
        return [mean_forecast(of_scenario) for of_scenario in zip(*forecasts, strict=True)]


def mean_forecast(forecasts: Sequence[Forecast]) -> Forecast:
    """The mean of several forecasts of the same agents, as of the models of an ensemble.

    A mode's number means nothing, so each agent's modes are paired with those of the mean so far: the pairing with the
    least squared distance over all steps and modes. Trajectories and probabilities of paired modes are averaged.

    Args:
        forecasts: All with the same number of modes and steps.

    Raises:
        InputError: They are of other agents, or differ in the number of modes or steps.
    """
    first = forecasts[0]
    for other in forecasts[1:]:
        if other.trajectories.shape != first.trajectories.shape or not np.array_equal(other.agents, first.agents):
            raise InputError(
                f"mean of forecasts: expected the same agents, modes and steps, got {first.trajectories.shape[:3]} and "
                f"{other.trajectories.shape[:3]}; average models of one shape"
            )
    trajectories, probabilities = first.trajectories, first.probabilities
    for count, other in enumerate(forecasts[1:], start=1):
        order = _paired(trajectories, other.trajectories)
        paired = np.take_along_axis(other.trajectories, order[:, :, None, None], axis=1)
        trajectories = (count * trajectories + paired) / (count + 1)
        probabilities = (count * probabilities + np.take_along_axis(other.probabilities, order, axis=1)) / (count + 1)
    return Forecast(first.agents, trajectories, probabilities)


def _paired(
    mean: Float[np.ndarray, "agents modes steps 2"], other: Float[np.ndarray, "agents modes steps 2"]
) -> Int[np.ndarray, "agents modes"]:
    """For each mode of the mean, the number of the other's mode that belongs to it."""
    squared = np.square(mean[:, :, None] - other[:, None]).sum((-2, -1))
    order = np.empty(squared.shape[:2], np.int64)
    for agent, costs in enumerate(squared):
        order[agent] = linear_sum_assignment(costs)[1]
    return order
