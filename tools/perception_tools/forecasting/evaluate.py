"""Forecasters over a split: scored by the benchmark's rules, timed, and put into a report."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from jaxtyping import Int
from tqdm import tqdm

from perception.baselines.constant_velocity import constant_velocity
from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.trained_state import fingerprints
from perception.frozen.weights import provenance
from perception.metrics.forecasting import ForecastTable
from perception.traffic.scenario import Forecast, Scenario, UnusableScenario
from perception_datasets.errors import Failures, RecordError
from perception_datasets.forecasting import ScenarioFolder, open_forecasting
from perception_tools.forecasting.agent_records import agent_rows
from perception_tools.forecasting.comparison import Comparison, System, compare_all
from perception_tools.forecasting.model import TrainedForecaster, load_model
from perception_tools.forecasting.recipes import ENCODERS
from perception_tools.forecasting.report.evaluation import BlockProvenance, Evaluation, choose_examples
from perception_tools.forecasting.report.writer import write_report
from perception_tools.forecasting.task import TASK
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.records_file import RECORDS_FILE, write_records
from perception_tools.training.curves import read_curves

BASELINE = "constant velocity"
ENOUGH = 20
"""Number of scenarios at the start which, if all have another number of steps, tell that the others have, too."""


@dataclass
class Scored:
    """One model's running result.

    Attributes:
        name: Heading of its column.
        system: Name of what it is one training of: the same but for the seed.
        run: Its run folder, for the learning curves; None where it was given as a loaded model.
        trained: The model.
        table: Its scores so far.
        records: A row for each scored agent so far.
        seconds: Time spent in forecasting, from scenarios to futures in the city frame.
    """

    name: str
    run: Path | None
    trained: TrainedForecaster
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
        """Futures of every agent that the benchmark asks about."""
        return self.trained.model.forecast(scenarios, [asked_agents(scenario) for scenario in scenarios])


def evaluate_forecasters(
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")],
    data: Path,
    out: Path,
    split: str = "val",
    limit: int | None = None,
    data_name: str | None = None,
    batch: int = 8,
    device: str = "cpu",
) -> dict:
    """Scores trained forecasters: OUT/metrics.json, records.parquet and report.html (one page with pictures).

    The numbers of the first run are metrics.json's own; the others, and constant velocity, stand under `others`. Runs
    that differ in their seed alone are averaged under `systems`, and `paired` compares every two systems on the same
    agents. records.parquet has a row for each scored agent of each model.

    Args:
        runs: Run folders or model files; several are put side by side in the report.
        data: A raw Argoverse 1 or 2 folder, sensor logs, synthetic scenarios, or a prepared store.
        out: Folder for metrics.json, records.parquet and report.html.
        split: Split to score.
        limit: Score this many of the first scenarios only.
        data_name: What to call the data in the report, e.g. "AV1-mini (3,552/616)".
        batch: Number of scenarios in one call of the model.
        device: Where the model runs: cpu, cuda.
    """
    keep_apart([out], [data])
    return evaluate_models(runs, data, out, split=split, limit=limit, data_name=data_name, batch=batch, device=device)


def evaluate_models(
    runs: Sequence[Path | TrainedForecaster],
    data: Path,
    out: Path,
    *,
    split: str = "val",
    limit: int | None = None,
    data_name: str | None = None,
    batch: int = 8,
    device: str = "cpu",
) -> dict:
    """Scores models, which may be loaded already; see `evaluate_forecasters`.

    Returns:
        What metrics.json holds.
    """
    if not runs:
        raise InputError("evaluate: expected at least one run, got none; give a run's folder")
    folder = open_forecasting(data, split, limit=limit)
    models = [_load(run, device) for run in runs]
    _name_apart(models)
    shape = trained_shape([model.trained for model in models])
    baseline, scenes = ForecastTable(), Split(folder, shape, scenarios_in_train(data, folder))
    for scenarios in tqdm(scenes.batches(batch), total=-(-len(folder) // batch), desc="evaluate"):
        for model in models:
            start = time.perf_counter()
            forecasts = model.forecast(scenarios)
            model.seconds += time.perf_counter() - start
            for scenario, forecast in zip(scenarios, forecasts, strict=True):
                model.score(scenario, forecast)
        for scenario in scenarios:
            baseline.add(scenario, constant_velocity(scenario, asked_agents(scenario)))
    if baseline.scenarios == 0:
        raise InputError(f"{data}: expected scenarios to evaluate, got none\n{scenes.failures.report(len(folder))}")
    by_name = {model.name: model.table.as_json() for model in models} | {BASELINE: baseline.as_json()}
    systems = [*make_systems(models), System(BASELINE, (BASELINE,), (None,), (baseline.rows(),))]
    comparisons = compare_all(systems)
    metrics = _metrics(models, by_name, scenes)
    metrics["systems"] = {system.name: system.as_json() for system in systems}
    metrics["paired"] = [comparison.as_json() for comparison in comparisons]
    _print_table(metrics)
    print("\n".join(comparison.verdict() for comparison in comparisons if comparison.second != BASELINE))
    if len(scenes.failures):
        print(scenes.failures.report(len(folder)))
    write_json(out / "metrics.json", metrics)
    write_records(out / RECORDS_FILE, [row for model in models for row in model.records])
    _report(models, by_name, comparisons, scenes, out, data_name or f"{folder.source} {split} of {data}")
    print(f"{out / 'metrics.json'}\n{out / RECORDS_FILE}\n{out / 'report.html'}")
    return metrics


def asked_agents(scenario: Scenario) -> Int[np.ndarray, " agents"]:
    """The focal and all scored agents that are observed at the present step."""
    asked = scenario.agents.scored.copy()
    asked[scenario.focal] = True
    return np.flatnonzero(asked & scenario.agents.valid[:, scenario.present])


def _load(run: Path | TrainedForecaster, device: str) -> Scored:
    trained = load_model(run) if isinstance(run, Path) else run
    trained.model.to(torch.device(device))
    name = trained.name.removeprefix(f"{TASK.name}/")
    if trained.recipe.encoder not in ENCODERS:  # the recipe's name says nothing of it
        name += f" ({trained.recipe.encoder})"
    folder = None if not isinstance(run, Path) else run if run.is_dir() else run.parent
    return Scored(name, folder, trained)


def _name_apart(models: list[Scored]) -> None:
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
    values = [getattr(model.trained.recipe, attribute) for model in models]
    if len({model.name for model in models}) < len(models) and len(set(values)) > 1:
        for model, value in zip(models, values, strict=True):
            model.name += f" {form.format(value)}"


def make_systems(models: Sequence[Scored]) -> list[System]:
    """Puts models together that differ in nothing but the seed; a second model of the same seed stands for itself."""
    members: dict[object, dict[int, Scored]] = {}
    for model in models:
        recipe = {name: value for name, value in model.trained.recipe.to_json().items() if name != "seed"}
        training = model.trained.training
        kind = (model.trained.name, json.dumps(recipe, sort_keys=True), training.source, training.scenarios)
        seed = model.trained.recipe.seed
        if seed in members.get(kind, {}):
            kind = (kind, model.name)
        members.setdefault(kind, {})[seed] = model
    names = [_system_name(list(by_seed.values())) for by_seed in members.values()]
    systems = []
    for name, by_seed in zip(names, members.values(), strict=True):
        of = list(by_seed.values())
        name = name if names.count(name) == 1 else f"{of[0].name} and its seeds"
        systems.append(System(name, tuple(m.name for m in of), tuple(by_seed), tuple(m.table.rows() for m in of)))
        for model in of:
            model.system = name
    return systems


def _system_name(models: Sequence[Scored]) -> str:
    return models[0].name if len(models) == 1 else f"{models[0].system} ({len(models)} seeds)"


def trained_shape(models: Sequence[TrainedForecaster]) -> tuple[int, int]:
    """Number of observed and of future steps that models were trained on.

    Raises:
        InputError: They differ, so that no scenario suits all.
    """
    shapes = {(model.training.history_steps, model.training.future_steps): model.name for model in models}
    if len(shapes) > 1:
        found = ", ".join(f"{name} with {history} and {future}" for (history, future), name in shapes.items())
        raise InputError(
            f"evaluate: expected models of the same number of observed and future steps, got {found}; evaluate those "
            "that were trained on one kind of data"
        )
    return next(iter(shapes))


def scenarios_in_train(data: Path, folder: ScenarioFolder) -> int | None:
    """Number of scenarios that are in the training split of the same data too; None where there is no other split."""
    try:
        train = None if folder.split == "train" else open_forecasting(data, "train")
    except InputError:
        return None
    if train is None or train.reads_the_files_of(folder):  # a folder without a split level
        return None
    return len(folder.shared_with(train))


class Split:
    """The usable scenarios of a folder, in batches; remembers where each stands, and which could not be used.

    Args:
        folder: Where they are.
        shape: Number of observed and of future steps of a usable scenario; any unless given.
        in_train: Number of them that are in the training split too; None where that is not known.
    """

    def __init__(
        self, folder: ScenarioFolder, shape: tuple[int, int] | None = None, in_train: int | None = None
    ) -> None:
        self.folder, self.shape, self.in_train = folder, shape, in_train
        self.failures = Failures()
        self._index: dict[str, int] = {}
        self._of_other_shape = 0

    def batches(self, size: int) -> Iterator[list[Scenario]]:
        """At most this many scenarios at a time.

        Raises:
            InputError: The first `ENOUGH` scenarios that can be read all have another number of steps.
        """
        batch: list[Scenario] = []
        for index, name in enumerate(self.folder.ids):
            try:
                scenario = self.folder[index]
                scenario.require_focal()
                self._check_shape(scenario)
            except (RecordError, UnusableScenario) as error:
                self.failures.add(name, RecordError(str(error)))
                continue
            batch.append(scenario)
            self._index[scenario.id] = index
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _check_shape(self, scenario: Scenario) -> None:
        if self.shape is None:
            return
        try:
            scenario.require_shape(self.shape, "as in training")
        except UnusableScenario as error:
            self._of_other_shape += 1
            if self._of_other_shape >= ENOUGH and not self._index:
                raise InputError(
                    f"{error}, and so on; evaluate on a labelled split of the kind of data that was trained on"
                ) from error
            raise

    def notes(self) -> list[str]:
        """What a reader of the report must know of the scenarios."""
        failed = [self.failures.report(len(self.folder))] if len(self.failures) else []
        return failed + ([_leak(self.in_train)] if self.in_train else [])

    def recall(self, scenario_id: str) -> Scenario:
        """One of the scenarios that `batches` gave, read again."""
        return self.folder[self._index[scenario_id]]


def _metrics(models: Sequence[Scored], by_name: dict[str, dict], scenes: Split) -> dict:
    """The contract's numbers of the first model, and everybody else's beside them."""
    first, *others = by_name
    return by_name[first] | {
        "name": first,
        "source": scenes.folder.source,
        "split": scenes.folder.split,
        "failures": scenes.failures.reasons,
        "scenarios_in_train": scenes.in_train,
        "blocks": {model.name: fingerprints(model.trained.model) for model in models},
        "seconds_per_scene": {model.name: model.seconds / model.table.scenarios for model in models},
        "others": {name: by_name[name] for name in others},
    }


def _report(
    models: Sequence[Scored],
    by_name: dict[str, dict],
    comparisons: Sequence[Comparison],
    scenes: Split,
    out: Path,
    data_name: str,
) -> None:
    evaluations = [_evaluation(model, by_name[model.name], scenes) for model in models]
    evaluations.append(Evaluation(BASELINE, {}, by_name[BASELINE], system=BASELINE))
    folder = scenes.folder
    synthetic = folder.source == "synthetic"
    write_report(out, evaluations, comparisons, data_name=data_name, synthetic=synthetic, notes=scenes.notes())


def _evaluation(model: Scored, metrics: dict, scenes: Split) -> Evaluation:
    def recall(scenario_id: str) -> tuple[Scenario, Forecast]:
        scenario = scenes.recall(scenario_id)
        return scenario, model.forecast([scenario])[0]

    parameters = list(model.trained.model.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    block = model.trained.model.block
    assert isinstance(block, FrozenBlockAdapter)
    return Evaluation(
        name=model.name,
        system=model.system,
        recipe=model.trained.recipe.to_json(),
        metrics=metrics,
        curves=read_curves(model.run) if model.run else {},
        examples=choose_examples(model.table, recall),
        seconds_per_scene=model.seconds / model.table.scenarios,
        parameters=(trainable, sum(p.numel() for p in parameters) - trainable),
        block=BlockProvenance(block.source, block.fingerprint, provenance(block.source))
        if block.source and block.fingerprint
        else None,
        view=model.trained.recipe.view,
    )


def _leak(count: int) -> str:
    return f"warning: {count} of the scenarios are in the training split of the same data too"


def _print_table(metrics: dict) -> None:
    """The focal agent's numbers of every model, on the screen."""
    shown = ("min_ade", "min_ade_endpoint", "min_fde", "miss_rate", "brier_min_fde")
    rows = {metrics["name"]: metrics} | metrics["others"]
    width = max(map(len, rows))
    unscored = metrics["incomplete_focal"]
    print(f"\n{metrics['scenarios'] - unscored} scenarios of {metrics['source']} {metrics['split']}, focal agents")
    if unscored:
        print(f"{unscored} more are not scored: the future of their focal agents has gaps")
    if metrics["scenarios_in_train"]:
        print(_leak(metrics["scenarios_in_train"]))
    print(f"{'':<{width}}  {'K=6':>3} " + " ".join(f"{name:>16}" for name in shown) + f"  {'K=1 min_fde':>11}")
    for name, row in rows.items():
        numbers = " ".join(f"{row['k6'][key]:16.3f}" for key in shown)
        print(f"{name:<{width}}      {numbers}  {row['k1']['min_fde']:11.3f}")
    print()
