"""A table over a few made scenarios, and evaluations of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception.metrics.forecasting import ForecastTable
    from perception.traffic.scenario import Forecast, Scenario

HISTORY, FUTURE = 20, 30
DRIVES = {"straight": (1.0, 0.0), "left turn": (0.6, 0.05), "right turn": (0.6, -0.05), "stationary": (0.0, 0.0)}
"""Manoeuvre → (metres, radians) a step."""


@pytest.fixture(scope="session")
def scored(make_scenario) -> tuple[ForecastTable, dict[str, tuple[Scenario, Forecast]]]:
    """Three scenarios a manoeuvre with forecasts of growing error, scored."""
    from perception.metrics.forecasting import ForecastTable
    from perception.traffic.scenario import Forecast

    table, forecasts = ForecastTable(), {}
    for drive, (metres, radians) in DRIVES.items():
        for error in (0.5, 1.5, 4.0):
            turned = radians * np.concatenate([np.zeros(HISTORY), np.arange(FUTURE)])
            path = np.cumsum(metres * np.stack([np.cos(turned), np.sin(turned)], axis=-1), axis=0)
            scenario = make_scenario(f"{drive} {error}", position=np.stack([path, path + 5.0]), history_steps=HISTORY)
            growing = np.linspace(0, 1, FUTURE)[:, None] * np.array([0.0, error])
            modes = np.stack([scenario.agents.position[:, HISTORY:] + i * growing for i in (-2, 1, 3)], axis=1)
            forecast = Forecast(np.arange(2), modes, np.tile([0.2, 0.7, 0.1], (2, 1)))
            table.add(scenario, forecast)
            forecasts[scenario.id] = scenario, forecast
    return table, forecasts


@pytest.fixture(scope="session")
def make_evaluation(scored) -> Callable:
    """Makes an evaluation of the scored table, every field of which can be replaced."""
    from perception_tools.forecasting.report.evaluation import Evaluation, choose_examples

    table, forecasts = scored
    examples = choose_examples(table, forecasts.__getitem__)
    curves = {"train/loss": [(0, 3.0), (10, 1.0)], "val/loss": [(0, 3.2), (10, 1.5)], "val/min_fde": [(10, 1.0)]}

    def make(name: str = "vectornet", **changes) -> Evaluation:
        fields = {
            "recipe": {"seed": 7, "learning_rate": 5e-4},
            "metrics": table.as_json(),
            "curves": curves,
            "examples": examples[:3],
            "seconds_per_scene": 0.0061,
            "parameters": (1_780_933, 0),
        }
        return Evaluation(name, **{**fields, **changes})

    return make
