"""Writes golden_replay.json beside this file: what a small node says of a made drive. Run it only when that is meant to
change.

The weights are NumPy's random numbers, whose stream does not depend on the machine. Arithmetic does, in the last
digits, which is why the golden is compared by bounds.
"""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from perception.encoders.vectornet.input import VectorizedInput
from perception.geometry import SE2
from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import AgentKind, MapPolylines
from perception_nodes.forecasting.tick import Tick
from perception_tools.forecasting.model import TrainedForecaster, Training, build_forecaster
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.forecasting.replay import play_drive
from perception_tools.forecasting.streaming.baseline import Baseline
from perception_tools.forecasting.streaming.drive import Drive
from perception_tools.training.recipes import BlockRecipe

TICKS, HISTORY_STEPS, FUTURE_STEPS = 24, 12, 30


def golden_replay() -> Baseline:
    """Plays the made drive through the made model."""
    with patch.object(VectorizedInput, "warm_up_agents", lambda _self, _most: (1,)):  # all sizes take seconds
        return play_drive(made_drive(), made_model()).baseline()


def made_model() -> TrainedForecaster:
    """A tiny model; biases and norms are as they are initialised, all other weights drawn by NumPy."""
    recipe = ForecastRecipe(block=BlockRecipe(source="random:32x48x4?seed=0"), dim=16, heads=2)
    model, rng = build_forecaster(recipe, FUTURE_STEPS).eval(), np.random.default_rng(0)
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            if weight.requires_grad and weight.ndim > 1:
                drawn = rng.standard_normal(tuple(weight.shape)) / np.sqrt(weight.shape[-1])
                weight.copy_(torch.from_numpy(drawn))
    return TrainedForecaster(model, recipe, Training("golden", "none", 0, HISTORY_STEPS, FUTURE_STEPS, 0))


def made_drive() -> Drive:
    """An ego, a car, a bus that turns, a cyclist that appears late, a walker, a cone, and a box without a heading."""
    seconds = 0.1 * np.arange(TICKS)
    turn = 0.2 * seconds
    x_y_heading = {
        "car": (12 + 9 * seconds, 0 * seconds, 0 * seconds),
        "bus": (30 * np.sin(turn) - 8, 34 - 30 * np.cos(turn), turn),
        "cyclist": (20 - 4 * seconds, -3 + 0 * seconds, np.pi + 0 * seconds),
        "walker": (15 + 0 * seconds, 8 - 1.4 * seconds, -np.pi / 2 + 0 * seconds),
        "cone": (9 + 0 * seconds, -4 + 0 * seconds, 0 * seconds),
        "broken": (25 + 5 * seconds, 4 + 0 * seconds, np.nan * seconds),
    }
    kinds = [
        AgentKind.VEHICLE,
        AgentKind.BUS,
        AgentKind.CYCLIST,
        AgentKind.PEDESTRIAN,
        AgentKind.CONSTRUCTION,
        AgentKind.VEHICLE,
    ]
    table = np.array(list(x_y_heading.values()))
    frames = []
    for step in range(TICKS):
        seen = np.flatnonzero((np.arange(len(kinds)) != 2) | (step >= 9))
        frames.append(
            Tick(
                stamp_ns=10**9 + 100_000_000 * step,
                city_SE2_ego=SE2(8.0 * seconds[step], 0.0, 0.0),
                ids=tuple(list(x_y_heading)[row] for row in seen),
                kinds=np.array(kinds, dtype=np.int64)[seen],
                position=table[seen, :2, step],
                heading=table[seen, 2, step],
                size=np.tile([4.5, 1.9, 1.6], (len(seen), 1)),
            )
        )
    return Drive("golden", "PIT", MapIndex(_road()), frames, None)


def _road() -> MapPolylines:
    along = np.linspace(-40.0, 80.0, 10)
    points = np.stack([np.stack([along, np.full(10, y)], axis=-1) for y in (-3.0, 0.0, 4.0)])
    nothing = np.zeros(3, dtype=np.int64)
    return MapPolylines(np.arange(3), points, nothing, nothing, nothing > 0, nothing > 0)


if __name__ == "__main__":
    golden_replay().write(Path(__file__).with_name("golden_replay.json"))
