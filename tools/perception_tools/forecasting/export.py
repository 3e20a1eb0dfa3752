"""What a forecaster's exported file is, and scenes that tell whether it is right."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from jaxtyping import Int

from perception.encoders.forecasting import ForecastBatch
from perception.traffic.scenario import AgentKind, AgentTracks, MapPolylines, PolylineKind, Scenario
from perception_nodes.exported.runtimes import Runtime
from perception_nodes.forecasting.exported_forecaster import ExportedForecaster
from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import GraphSource
from perception_tools.forecasting.model import TrainedForecaster, Training, build_forecaster
from perception_tools.forecasting.recipes import RECIPES

RECIPE = "forecast/vectornet-llama"
_CROWD = 100
_LANES = 40
CROWD = f"{_CROWD} agents and {_LANES} lanes"
HISTORY_STEPS, FUTURE_STEPS = 50, 60
"""Steps of an untrained model: Argoverse 2's."""


def exportable(trained: TrainedForecaster) -> Exportable:
    """A trained forecaster, folded, with made scenes: few agents and many, no lanes, rows that only pad.

    The first batch is as full as a robot's, because the graph keeps the order of products that is cheapest for it.
    """
    model, steps = trained.model.folded(), trained.training

    def batch(*scenes: tuple[int, int, int]) -> ForecastBatch:
        """Scenes by their numbers of agents, of agents asked about, and of lanes."""
        made = [_scene(number, agents, lanes, steps.history_steps) for number, (agents, _, lanes) in enumerate(scenes)]
        asked: list[Int[np.ndarray, " _"]] = [np.arange(count) for _, count, _ in scenes]
        return model.collate([model.prepare(scene) for scene in made], asked)

    return Exportable(
        source=GraphSource(model, lambda model, batch: model.answer(batch)),
        cases=lambda: {
            "two scenes, with rows that only pad": batch((60, 60, 40), (30, 20, 20)),
            "one agent": batch((1, 1, 6)),
            "no lanes": batch((4, 4, 0)),
            CROWD: batch((_CROWD, _CROWD, _LANES)),
            "a scene beside one with one agent": batch((12, 12, _LANES), (1, 1, 0)),
        },
        timed=(CROWD, "one agent"),
        metadata={
            "recipe": trained.recipe.to_json(),
            "training": asdict(steps),
            "history_steps": steps.history_steps,
            "future_steps": steps.future_steps,
            "outputs": {
                "trajectories": "positions in metres, each agent in its own present frame (x ahead, y to the left), at "
                "0.1 s, 0.2 s and so on",
                "logits": "unnormalised log-probabilities of the modes",
            },
            "inputs": "as perception.encoders of this version writes them: metres, radians, seconds",
        },
        serve=lambda runtime: served(runtime, trained),
        valid=lambda batch: batch.rows_valid.numpy(),
    )


def untrained(block: str, recipe_name: str | None = None) -> TrainedForecaster:
    """The model of a recipe with a block, as it is before training."""
    name = recipe_name or RECIPE
    recipe = RECIPES[name].with_source(block)
    training = Training(name, "nothing", 0, HISTORY_STEPS, FUTURE_STEPS, 0)
    return TrainedForecaster(build_forecaster(recipe, FUTURE_STEPS).eval(), recipe, training)


def served(runtime: Runtime, trained: TrainedForecaster) -> ExportedForecaster:
    """An exported forecaster, with the input of the model that it was."""
    return ExportedForecaster(runtime, trained.model.input)


def _scene(seed: int, agents: int, lanes: int, history_steps: int) -> Scenario:
    """Agents that drive about at constant speeds, some of them seen late, over straight lanes."""
    rng = np.random.default_rng(seed)
    elapsed_s = 0.1 * np.arange(history_steps)
    heading = rng.uniform(-np.pi, np.pi, agents)
    velocity = rng.uniform(0, 15, (agents, 1)) * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    start = rng.uniform(-60, 60, (agents, 1, 2))
    valid = np.arange(history_steps) >= rng.integers(0, max(history_steps // 2, 1), (agents, 1))
    tracks = AgentTracks(
        ids=tuple(f"agent{number}" for number in range(agents)),
        kinds=rng.integers(0, len(AgentKind), agents),
        position=start + velocity[:, None] * elapsed_s[:, None],
        heading=np.repeat(heading[:, None], history_steps, axis=1),
        velocity=np.repeat(velocity[:, None], history_steps, axis=1),
        valid=valid,
        scored=np.ones(agents, bool),
    )
    return Scenario(f"made{seed}", "made", "made", tracks, _lanes(rng, lanes), history_steps, focal=0, ego=None)


def _lanes(rng: np.random.Generator, count: int) -> MapPolylines:
    """Straight lanes about the origin."""
    heading = rng.uniform(-np.pi, np.pi, (count, 1, 1))
    along = np.linspace(-20.0, 20.0, 10)[:, None] * np.concatenate([np.cos(heading), np.sin(heading)], axis=-1)
    nothing = np.zeros(count, np.int64)
    return MapPolylines(
        ids=np.arange(count),
        points=rng.uniform(-60, 60, (count, 1, 2)) + along,
        kinds=rng.integers(0, len(PolylineKind), count),
        turns=nothing,
        is_intersection=nothing.astype(bool),
        has_traffic_control=nothing.astype(bool),
    )
