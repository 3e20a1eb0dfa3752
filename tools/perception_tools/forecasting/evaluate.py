"""Forecasters over a split: scored by the benchmark's rules, timed, and put into a report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from perception.baselines.constant_velocity import constant_velocity
from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.trained_state import fingerprints
from perception.frozen.weights import provenance
from perception.metrics.forecasting import ForecastTable
from perception.traffic.scenario import Forecast, Scenario
from perception_datasets.forecasting import open_forecasting
from perception_tools.devices import find_device
from perception_tools.forecasting.comparison import Comparison, System, compare_all
from perception_tools.forecasting.model import TrainedForecaster
from perception_tools.forecasting.prepared import with_cache
from perception_tools.forecasting.report.evaluation import BlockProvenance, Evaluation, choose_examples, choose_worst
from perception_tools.forecasting.report.writer import write_report
from perception_tools.forecasting.scored import (
    Scored,
    asked_agents,
    ensemble_of,
    load_scored,
    make_systems,
    mirrored_too,
    name_apart,
)
from perception_tools.forecasting.split import Split, asked_shape, leak, scenarios_in_train, trained_shape
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.records_file import RECORDS_FILE, write_records
from perception_tools.shared_cache import LIMIT_GB, open_cache
from perception_tools.training.curves import read_curves

BASELINE = "constant velocity"


def evaluate_forecasters(
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")],
    data: Path,
    out: Path,
    split: str = "val",
    limit: int | None = None,
    data_name: str | None = None,
    history_steps: int | None = None,
    horizon_steps: int | None = None,
    worst: int = 0,
    mirrored: bool = False,
    ensemble: bool = False,
    batch: int = 8,
    device: str = "cpu",
    cache_gb: float = LIMIT_GB,
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
        history_steps: Show the models this many of the newest observed steps only, instead of as many as they were
            trained on.
        horizon_steps: Score this many of the first future steps only, instead of as many as the models were trained
            on: 30 to score a model of Argoverse 2 on Argoverse 1, or the other way about.
        worst: Show this many of the scenarios that each model forecasts worst in the report, by manoeuvre.
        mirrored: Also score each model with the mean of what it forecasts of a scenario and of its mirror image, in a
            column of its own; forecasting then takes twice the time.
        ensemble: Also score the mean of what all runs forecast, in a column of its own.
        batch: Number of scenarios in one call of the model.
        device: Where the model runs: cpu, cuda.
        cache_gb: Size in 10⁹ bytes up to which scenarios of raw files are kept on disk in $PERCEPTION_CACHE, or else
            ~/.cache/frozen-perception, so that the next evaluation need not parse them; 0 for not at all.
    """
    keep_apart([out], [data])
    return evaluate_models(
        runs,
        data,
        out,
        split=split,
        limit=limit,
        data_name=data_name,
        history_steps=history_steps,
        horizon_steps=horizon_steps,
        worst=worst,
        mirrored=mirrored,
        ensemble=ensemble,
        batch=batch,
        device=device,
        cache_gb=cache_gb,
    )


def evaluate_models(
    runs: Sequence[Path | TrainedForecaster],
    data: Path,
    out: Path,
    *,
    split: str = "val",
    limit: int | None = None,
    data_name: str | None = None,
    history_steps: int | None = None,
    horizon_steps: int | None = None,
    worst: int = 0,
    mirrored: bool = False,
    ensemble: bool = False,
    batch: int = 8,
    device: str = "cpu",
    cache_gb: float = LIMIT_GB,
) -> dict:
    """Scores models, which may be loaded already; see `evaluate_forecasters`.

    Returns:
        What metrics.json holds.
    """
    if not runs:
        raise InputError("evaluate: expected at least one run, got none; give a run's folder")
    if worst < 0 or not cache_gb >= 0:
        raise InputError(f"--worst {worst}, --cache-gb {cache_gb}: expected numbers of at least 0; give such numbers")
    if ensemble and len(runs) < 2:
        raise InputError(f"--ensemble: expected at least two runs, got {len(runs)}; give the runs to average")
    place, folder = find_device(device), open_forecasting(data, split, limit=limit)
    models = [load_scored(run, place) for run in runs]
    name_apart(models)
    trained = [one for model in models for one in model.trained]
    columns = [*models, ensemble_of(models)] if ensemble else models
    if mirrored:
        columns = [*columns, *map(mirrored_too, columns)]
    in_train = scenarios_in_train(data, folder)
    folder = with_cache(folder, open_cache(cache_gb))
    if history_steps is None and horizon_steps is None:
        scenes = Split(folder, trained_shape(trained), in_train)
    else:
        scenes = Split(folder, asked_shape(trained, history_steps, horizon_steps), in_train, cut=True)
    baseline = ForecastTable()
    for scenarios in tqdm(scenes.batches(batch), total=-(-len(folder) // batch), desc="evaluate"):
        for column in columns:
            start = time.perf_counter()
            forecasts = column.forecast(scenarios)
            column.seconds += time.perf_counter() - start
            for scenario, forecast in zip(scenarios, forecasts, strict=True):
                column.score(scenario, forecast)
        for scenario in scenarios:
            baseline.add(scenario, constant_velocity(scenario, asked_agents(scenario)))
    if baseline.scenarios == 0:
        raise InputError(f"{data}: expected scenarios to evaluate, got none\n{scenes.failures.report(len(folder))}")
    by_name = {column.name: column.table.as_json() for column in columns} | {BASELINE: baseline.as_json()}
    systems = [*make_systems(columns), System(BASELINE, (BASELINE,), (None,), (baseline.rows(),))]
    comparisons = compare_all(systems)
    metrics = _metrics(columns, by_name, scenes)
    metrics["systems"] = {system.name: system.as_json() for system in systems}
    metrics["paired"] = [comparison.as_json() for comparison in comparisons]
    _print_table(metrics)
    print("\n".join(comparison.verdict() for comparison in comparisons if comparison.second != BASELINE))
    if len(scenes.failures):
        print(scenes.failures.report(len(folder)))
    write_json(out / "metrics.json", metrics)
    write_records(out / RECORDS_FILE, [row for column in columns for row in column.records])
    _report(columns, by_name, comparisons, scenes, out, data_name or f"{folder.source} {split} of {data}", worst)
    print(f"{out / 'metrics.json'}\n{out / RECORDS_FILE}\n{out / 'report.html'}")
    return metrics


def _metrics(columns: Sequence[Scored], by_name: dict[str, dict], scenes: Split) -> dict:
    """The contract's numbers of the first model, and everybody else's beside them."""
    first, *others = by_name
    return by_name[first] | {
        "name": first,
        "source": scenes.folder.source,
        "split": scenes.folder.split,
        "history_steps": None if scenes.shape is None else scenes.shape[0],
        "horizon_steps": None if scenes.shape is None else scenes.shape[1],
        "failures": scenes.failures.reasons,
        "scenarios_in_train": scenes.in_train,
        "blocks": {c.name: fingerprints(c.trained[0].model) for c in columns if len(c.trained) == 1},
        "seconds_per_scene": {column.name: column.seconds / column.table.scenarios for column in columns},
        "others": {name: by_name[name] for name in others},
    }


def _report(
    columns: Sequence[Scored],
    by_name: dict[str, dict],
    comparisons: Sequence[Comparison],
    scenes: Split,
    out: Path,
    data_name: str,
    worst: int,
) -> None:
    evaluations = [_evaluation(column, by_name[column.name], scenes, worst) for column in columns]
    evaluations.append(Evaluation(BASELINE, {}, by_name[BASELINE], system=BASELINE))
    folder = scenes.folder
    synthetic = folder.source == "synthetic"
    write_report(out, evaluations, comparisons, data_name=data_name, synthetic=synthetic, notes=scenes.notes())


def _evaluation(column: Scored, metrics: dict, scenes: Split, worst: int) -> Evaluation:
    def recall(scenario_id: str) -> tuple[Scenario, Forecast]:
        scenario = scenes.recall(scenario_id)
        return scenario, column.forecast([scenario])[0]

    parameters = [parameter for trained in column.trained for parameter in trained.model.parameters()]
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    evaluation = Evaluation(
        name=column.name,
        recipe={},
        system=column.system,
        metrics=metrics,
        examples=choose_examples(column.table, recall),
        worst=choose_worst(column.table, recall, worst),
        seconds_per_scene=column.seconds / column.table.scenarios,
        parameters=(trainable, sum(p.numel() for p in parameters) - trainable),
        view=" and ".join(sorted({trained.recipe.view for trained in column.trained})),
    )
    trained, *others = column.trained
    if others:
        return evaluation
    block = trained.model.block
    assert isinstance(block, FrozenBlockAdapter)
    return replace(
        evaluation,
        recipe=trained.recipe.to_json(),
        curves=read_curves(column.run) if column.run and not column.mirrored else {},
        block=BlockProvenance(block.source, block.fingerprint, provenance(block.source))
        if block.source and block.fingerprint
        else None,
    )


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
        print(leak(metrics["scenarios_in_train"]))
    print(f"{'':<{width}}  {'K=6':>3} " + " ".join(f"{name:>16}" for name in shown) + f"  {'K=1 min_fde':>11}")
    for name, row in rows.items():
        numbers = " ".join(f"{row['k6'][key]:16.3f}" for key in shown)
        print(f"{name:<{width}}      {numbers}  {row['k1']['min_fde']:11.3f}")
    print()
