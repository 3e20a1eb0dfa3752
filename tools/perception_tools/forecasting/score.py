"""Scores of anybody's forecasts, by the rules that `evaluate` scores by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from perception.baselines.constant_velocity import constant_velocity
from perception.errors import InputError, first_of
from perception.metrics.forecasting import METRICS, ForecastTable
from perception.traffic.scenario import Forecast, Scenario
from perception_datasets.argoverse.submissions import GivenForecast, read_submission
from perception_datasets.errors import RecordError
from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.agent_records import agent_rows
from perception_tools.forecasting.comparison import System, compare_all
from perception_tools.forecasting.scored import asked_agents
from perception_tools.forecasting.split import Split
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.records_file import RECORDS_FILE, write_records

BASELINE = "constant velocity"
MOVED_M = 0.1
"""A forecast that ends nearer to its start than this says that nothing moves."""
EXACT_M = 1e-3
"""The files' single precision: nearer is the truth itself."""
FAR_M = 200.0
"""Nobody is off by so much in the median who forecasts in the city frame."""


@dataclass
class GivenFile:
    """One file and its scores so far.

    Attributes:
        name: Name of the file.
        forecasts: By scenario.
        focal_only: Whether it forecasts focal agents alone, as a single-agent submission does.
        table: Scores so far.
        records: A row for each scored agent so far.
        moved_m: Largest displacement of each scenario's forecasts.
    """

    name: str
    forecasts: Mapping[str, GivenForecast]
    focal_only: bool
    table: ForecastTable = field(default_factory=ForecastTable)
    records: list[dict[str, object]] = field(default_factory=list)
    moved_m: list[float] = field(default_factory=list)

    def score(self, scenario: Scenario) -> None:
        """Adds a scenario.

        Raises:
            InputError: The file lacks one of its tracks, or has another horizon.
        """
        asked = scenario
        if self.focal_only:
            nobody = np.zeros_like(scenario.agents.scored)
            asked = replace(scenario, agents=replace(scenario.agents, scored=nobody))
        forecast = _as_forecast(asked, self.forecasts[scenario.id], self.name)
        scored = self.table.add(asked, forecast)
        if scored is not None:
            self.records += agent_rows(self.name, asked, forecast, scored)
        start = scenario.agents.position[forecast.agents, scenario.present][:, None, None]
        self.moved_m.append(float(np.linalg.norm(forecast.trajectories - start, axis=-1).max()))

    def remark(self) -> str:
        """What makes the scores look like a mix-up; empty for most."""
        rows = self.table.rows()
        errors = rows.k6[rows.focal, METRICS.index("min_fde")]
        if errors.max() < EXACT_M:
            return "every forecast is the truth: is this a file of labels?"
        if max(self.moved_m) < MOVED_M:
            return "no forecast moves"
        if np.median(errors) > FAR_M:
            return f"the median error is {np.median(errors):,.0f} m: are these coordinates of the city's frame?"
        first = next(iter(self.forecasts.values()))
        alike = all(np.array_equal(given.trajectories, first.trajectories) for given in self.forecasts.values())
        return "every scenario has the same forecast" if alike and len(self.forecasts) > 1 else ""


def score_forecasts(
    files: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE...")],
    data: Path,
    out: Path,
    split: str = "val",
    limit: int | None = None,
) -> dict:
    """Scores files of forecasts: OUT/metrics.json, as `evaluate` writes it, and OUT/records.parquet.

    A file is a submission to Argoverse 2 (.parquet, as av2 writes it) or Argoverse 1 (.h5, as argoverse-api writes it).
    Where it forecasts focal agents alone only these are scored. Argoverse 1's probabilities are normalised, and without
    any all modes are equally likely; Argoverse 2's must sum to 1. Every two files are compared on the same agents.

    Args:
        files: Submissions.
        data: Folder with the labelled scenarios: Argoverse 1 or 2, or a prepared store.
        out: Folder for the files.
        split: Split that was forecast. Of Argoverse 2's test split, scenarios with 110 steps are scored.
        limit: Score this many of the first scenarios only.

    Raises:
        InputError: A file or the data cannot be used, or a file lacks a scenario or track.
    """
    keep_apart([out], [data, *files])
    if not files:
        raise InputError("score forecasts: expected at least one file, got none; give one")
    if len({path.name for path in files}) < len(files):
        raise InputError("FILE: expected files with different names, found two that are called alike; rename one")
    folder = open_forecasting(data, split, limit=limit)
    given = [_open(path, folder.ids) for path in files]
    scenes, baseline = Split(folder), ForecastTable()
    for (scenario,) in scenes.batches(1):
        if not scenario.future_steps:
            reason = f"scenario {scenario.id}: expected labels, found {scenario.history_steps} observed steps alone"
            scenes.failures.add(scenario.id, RecordError(f"{reason}; download the labelled split"))
            continue
        for one in given:
            one.score(scenario)
        baseline.add(scenario, constant_velocity(scenario, asked_agents(scenario)))
    if not baseline.scenarios:
        raise InputError(f"{data}: expected labelled scenarios, got none\n{scenes.failures.report(len(folder))}")
    metrics = _metrics(given, baseline, scenes)
    write_json(out / "metrics.json", metrics)
    write_records(out / RECORDS_FILE, [row for one in given for row in one.records])
    for one in given:
        numbers, remark = one.table.as_json(), one.remark()
        print(
            f"{one.name}: minFDE {numbers['k6']['min_fde']:.3f} m, minADE {numbers['k6']['min_ade_endpoint']:.3f} m "
            f"(endpoint rule), misses {100 * numbers['k6']['miss_rate']:.1f} %, K = 6, focal agents of "
            f"{one.table.scenarios:,} scenarios" + (f"; {remark}" if remark else "")
        )
    if len(scenes.failures):
        print(scenes.failures.report(len(folder)))
    return metrics


def _metrics(given: Sequence[GivenFile], baseline: ForecastTable, scenes: Split) -> dict:
    tables = {one.name: one.table for one in given} | {BASELINE: baseline}
    systems = [System(name, (name,), (None,), (table.rows(),)) for name, table in tables.items()]
    numbers = {name: table.as_json() for name, table in tables.items()}
    first, *others = numbers
    return numbers[first] | {
        "name": first,
        "source": scenes.folder.source,
        "split": scenes.folder.split,
        "failures": scenes.failures.reasons,
        "focal_only": {one.name: one.focal_only for one in given},
        "remarks": {one.name: one.remark() for one in given if one.remark()},
        "others": {name: numbers[name] for name in others},
        "paired": [comparison.as_json() for comparison in compare_all(systems)],
    }


def _open(path: Path, wanted: Sequence[str]) -> GivenFile:
    """A file that has a forecast of every scenario."""
    forecasts = read_submission(path)
    missing = [name for name in wanted if name not in forecasts]
    if missing:
        raise InputError(
            f"{path}: expected forecasts of all {len(wanted):,} scenarios, found none of {len(missing):,}: "
            f"{first_of(missing)}; forecast those too, or score another split"
        )
    of_wanted = {name: forecasts[name] for name in wanted}
    focal_only = all(given.tracks is None or len(given.tracks) == 1 for given in of_wanted.values())
    return GivenFile(path.name, of_wanted, focal_only)


def _as_forecast(scenario: Scenario, given: GivenForecast, file: str) -> Forecast:
    """A given forecast of the agents that are asked about."""
    tracks = scenario.agents
    asked = asked_agents(scenario)
    ids = (tracks.ids[scenario.focal],) if given.tracks is None else given.tracks
    row_of = {track: row for row, track in enumerate(ids)}
    missing = [tracks.ids[agent] for agent in asked if tracks.ids[agent] not in row_of]
    if missing:
        raise InputError(
            f"{file}: scenario {scenario.id}: expected forecasts of its {len(asked)} scored tracks, found none of "
            f"{first_of(missing)}; forecast the focal track alone everywhere, or all"
        )
    rows = [row_of[tracks.ids[agent]] for agent in asked]
    if given.trajectories.shape[2] != scenario.future_steps:
        raise InputError(
            f"{file}: scenario {scenario.id}: expected forecasts of {scenario.future_steps} steps, as its labels have, "
            f"found {given.trajectories.shape[2]}; score them on their own benchmark"
        )
    return Forecast(asked, given.trajectories[rows], given.probabilities[rows])
