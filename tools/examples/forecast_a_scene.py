"""Forecasts the traffic of one moment with a trained run, from plain arrays.

    python tools/examples/forecast_a_scene.py runs/llama

No trainer and no reader of data sets is imported, so that this runs in a robot.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from perception.traffic.motion import causal_velocity
from perception.traffic.scenario import STEP_S, AgentKind, AgentTracks, Forecast, MapPolylines, PolylineKind, Scenario
from perception_tools.forecasting.model import build_forecaster, load_model
from perception_tools.forecasting.recipes import RECIPES


def crossroads(steps: int) -> Scenario:
    """A car that drives east, a car that brakes before the crossing, and a pedestrian.

    Args:
        steps: Number of observed steps, 0.1 s apart; the last one is the present.
    """
    seconds = STEP_S * np.arange(1 - steps, 1)  # until now
    east, north = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    position = np.stack(
        [
            np.array([-20.0, -2.0]) + 8.0 * seconds[:, None] * east,
            np.array([2.0, -15.0]) + (4.0 * seconds - 0.8 * seconds**2)[:, None] * north,
            np.array([10.0, 6.0]) - 1.3 * seconds[:, None] * east,
        ]
    )
    observed = np.ones(position.shape[:2], bool)
    tracks = AgentTracks(
        ids=("ahead", "braking", "walking"),
        kinds=np.array([AgentKind.VEHICLE, AgentKind.VEHICLE, AgentKind.PEDESTRIAN]),
        position=position,
        heading=np.repeat([[0.0], [np.pi / 2], [np.pi]], steps, axis=1),
        velocity=causal_velocity(position, observed, present=steps - 1),
        valid=observed,
        scored=np.ones(3, bool),
    )
    return Scenario(
        id="crossroads",
        source="example",
        city="example",
        agents=tracks,
        map=_lanes([((-60.0, -2.0), (60.0, -2.0)), ((2.0, -60.0), (2.0, 60.0))]),
        history_steps=steps,
        focal=0,
        ego=None,
    )


def _lanes(ends: list[tuple[tuple[float, float], tuple[float, float]]], points: int = 10) -> MapPolylines:
    """Straight lanes from start to end, in driving direction."""
    count = len(ends)
    return MapPolylines(
        ids=np.arange(count),
        points=np.stack([np.linspace(start, end, points) for start, end in ends]),
        kinds=np.full(count, PolylineKind.VEHICLE_LANE),
        turns=np.zeros(count, np.int64),
        is_intersection=np.zeros(count, bool),
        has_traffic_control=np.zeros(count, bool),
    )


def main(run: tyro.conf.Positional[Path | None] = None) -> Forecast:
    """Prints the most probable future of every agent.

    Args:
        run: A run's folder, or its model.safetensors. Without one an untrained model runs; its forecasts mean nothing.
    """
    if run is None:
        model, history_steps = build_forecaster(RECIPES["forecast/vectornet"], future_steps=30).eval(), 20
    else:
        trained = load_model(run)
        model, history_steps = trained.model, trained.training.history_steps
    scenario = crossroads(history_steps)
    (forecast,) = model.forecast([scenario], [np.arange(len(scenario.agents))])
    for agent, trajectories, probabilities in zip(
        forecast.agents, forecast.trajectories, forecast.probabilities, strict=True
    ):
        best = probabilities.argmax()
        x_m, y_m = trajectories[best, -1]
        seconds = STEP_S * trajectories.shape[1]
        name = scenario.agents.ids[agent]
        print(f"{name:<8} in {seconds:.0f} s at ({x_m:6.1f}, {y_m:6.1f}) m, probability {probabilities[best]:.2f}")
    return forecast


if __name__ == "__main__":
    tyro.cli(main)
