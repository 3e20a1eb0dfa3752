"""Models that are scored side by side: names, scores and records so far, and which are trainings of one system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int

from perception.metrics.forecasting import ForecastTable
from perception.traffic.scenario import Forecast, Scenario
from perception_tools.forecasting.agent_records import agent_rows
from perception_tools.forecasting.comparison import System
from perception_tools.forecasting.mean_forecast import MeanForecaster
from perception_tools.forecasting.model import TrainedForecaster, load_model
from perception_tools.forecasting.recipes import ENCODERS
from perception_tools.forecasting.task import TASK
from perception_tools.report.side_by_side import Contestant, group_seeds


@dataclass
class Scored:
    """One column of an evaluation: what forecasts, and its result so far.

    Attributes:
        name: Heading of the column.
        trained: The model; those of an ensemble, whose mean forecast is scored.
        run: A model's run folder, for the learning curves; None where it was given as a loaded model.
        mirrored: Whether what is forecast of each scenario's mirror image goes into the mean as well.
        system: Name of what it is one training of: the same but for the seed.
        table: Its scores so far.
        records: A row for each scored agent so far.
        seconds: Time spent in forecasting, from scenarios to futures in the city frame.
    """

    name: str
    trained: tuple[TrainedForecaster, ...]
    run: Path | None = None
    mirrored: bool = False
    system: str = ""
    table: ForecastTable = field(default_factory=ForecastTable)
    records: list[dict[str, object]] = field(default_factory=list)
    seconds: float = 0.0

    def score(self, scenario: Scenario, forecast: Forecast) -> None:
        """Adds a scenario to the scores and records."""
        scored = self.table.add(scenario, forecast)
        if scored is not None:
            self.records += agent_rows(self.name, scenario, forecast, scored)

    def forecast(self, scenarios: Sequence[Scenario]) -> list[Forecast]:
        """Futures of every agent that the benchmark asks about, no longer than those that are known."""
        forecaster = MeanForecaster(tuple(trained.model for trained in self.trained), self.mirrored)
        forecasts = forecaster.forecast(scenarios, [asked_agents(scenario) for scenario in scenarios])
        return [
            replace(forecast, trajectories=forecast.trajectories[:, :, : scenario.future_steps])
            for scenario, forecast in zip(scenarios, forecasts, strict=True)
        ]


def asked_agents(scenario: Scenario) -> Int[np.ndarray, " agents"]:
    """The focal and all scored agents that are observed at the present step."""
    asked = scenario.agents.scored.copy()
    asked[scenario.focal] = True
    return np.flatnonzero(asked & scenario.agents.valid[:, scenario.present])


def load_scored(run: Path | TrainedForecaster, device: torch.device) -> Scored:
    """Loads a model to be scored, from its run or as it is."""
    trained = load_model(run) if isinstance(run, Path) else run
    trained.model.to(device)
    name = trained.name.removeprefix(f"{TASK.name}/")
    if trained.recipe.encoder not in ENCODERS:  # the recipe's name says nothing of it
        name += f" ({trained.recipe.encoder})"
    folder = None if not isinstance(run, Path) else run if run.is_dir() else run.parent
    return Scored(name, (trained,), folder)


def ensemble_of(models: Sequence[Scored]) -> Scored:
    """The column of all models' mean."""
    name = f"ensemble of {len(models)}"
    return Scored(name, tuple(trained for model in models for trained in model.trained), system=name)


def mirrored_too(column: Scored) -> Scored:
    """A column beside another, with mirror images."""
    name, system = (f"{words} + mirror images" for words in (column.name, column.system))
    return Scored(name, column.trained, column.run, mirrored=True, system=system)


def name_apart(models: list[Scored]) -> None:
    """Two models of one recipe are told apart by what differs: view, seed, or at last their folder."""
    _add_what_differs(models, "view", "({} view)")
    for model in models:
        model.system = model.name
    _add_what_differs(models, "seed", "(seed {})")
    if len({model.name for model in models}) < len(models):
        for number, model in enumerate(models):
            model.name += f" [{model.run.name if model.run else number}]"


def _add_what_differs(models: list[Scored], attribute: str, form: str) -> None:
    """Adds a field of the recipe to all names, where names are equal and the field is not."""
    values = [getattr(trained.recipe, attribute) for model in models for trained in model.trained]
    if len({model.name for model in models}) < len(models) and len(set(values)) > 1:
        for model, value in zip(models, values, strict=True):
            model.name += f" {form.format(value)}"


def make_systems(columns: Sequence[Scored]) -> list[System]:
    """Puts models together that differ in nothing but the seed; ensembles, and second models of a seed, stand alone."""
    models = [column for column in columns if len(column.trained) == 1]
    contestants = [
        Contestant(
            model.system, trained.recipe, model.run or Path(), (trained.training.source, trained.training.scenarios)
        )
        for model in models
        for trained in model.trained
    ]
    systems = []
    for found in group_seeds(contestants, [model.name for model in models]):
        members = [models[number] for number in found.members]
        tables = tuple(model.table.rows() for model in members)
        systems.append(System(found.name, tuple(model.name for model in members), found.seeds, tables))
        for model in members:
            model.system = found.name
    ensembles = [column for column in columns if len(column.trained) > 1]
    return systems + [System(one.name, (one.name,), (None,), (one.table.rows(),)) for one in ensembles]
