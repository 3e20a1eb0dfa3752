"""All runs of a sweep, where each lies, and which of them are finished."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tyro.conf import UseAppendAction

from perception.errors import InputError
from perception_tools.analysis.sweep.grid import Cell, make_grid, parse_over, parse_seeds, values_of
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.tasks import Task, task_of_recipe
from perception_tools.training.run import RUN_FILE, TrainingRun

FINISHED_FILE = "finished.json"
"""In a run's folder: the model that its training ended with. In an evaluation's: what was evaluated, and how."""
METRICS_FILE = "metrics.json"


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """What a sweep is told beside what each of its runs is told.

    Attributes:
        data: Folder of the data set, or a prepared store; for training and for the evaluation.
        out: The sweep's folder. What is finished there is kept, and an unfinished run goes on where it was.
        over: FIELD=a,b,c. A field of the recipe by its name, such as `dim`, nested ones with dots, such as
            `block.kind`; or what `perception train` limits a run by, such as `limit`. Given several times, all
            combinations are run. `block.source=smollm2#0..29` is each of these blocks, `block.source=smollm2#28+29`
            both one after the other.
        preset: A sweep of the paper, in place of `over` or combined with it: table-6, table-b, table-c, table-d,
            figure-2; or controls. RECIPE is then one without a block.
        seeds: `0..4` (both ends included) or `0,1,2`. Every cell is trained once with each.
        split: Split to evaluate on.
        train_split: Split to train on.
        score_limit: Evaluate on this many of the first records only.
        device: Where models are evaluated: cpu, cuda.
        jobs: Number of runs side by side. By default as many as there are GPUs; without one, half as many as there are
            cores. All cores are shared out among them.
        restart: Discard the sweep's runs that are in `out`, and train them again.
    """

    data: Path
    out: Path
    over: UseAppendAction[tuple[str, ...]] = ()
    preset: str | None = None
    seeds: str = "0..4"
    split: str = "val"
    train_split: str = "train"
    score_limit: int | None = None
    device: str | None = None
    jobs: int | None = None
    restart: bool = False

    @property
    def scoring(self) -> dict[str, Any]:
        """What of the options decides the numbers of an evaluation."""
        return {"split": self.split, "limit": self.score_limit}


@dataclass(frozen=True)
class PlannedRun:
    """One training of a sweep and its evaluation.

    Attributes:
        cell: Its cell.
        seed: Its seed.
        run: All that training is told.
        evaluation: Folder of the evaluation.
        log: File with all that both print.
    """

    cell: Cell
    seed: int
    run: TrainingRun
    evaluation: Path
    log: Path

    @property
    def name(self) -> str:
        """Its cell and seed."""
        return f"{self.cell.name} seed {self.seed}"

    def description(self) -> dict:
        """What run.json holds of it, as it comes back from JSON."""
        return json.loads(json.dumps(self.run.describe()))

    def trained_model(self) -> str | None:
        """Hash of the model file that the finished training left; None while training has to go on."""
        from perception_tools.training.run_folder import hash_file

        record = read_json(self.run.out / FINISHED_FILE)
        if record is None or read_json(self.run.out / RUN_FILE) != self.description():
            return None
        file = self.run.out / record["model"]
        return record["sha256"] if file.is_file() and hash_file(file) == record["sha256"] else None

    def metrics(self, scoring: Mapping[str, Any]) -> dict | None:
        """The evaluation's metrics.json; None where it is missing, or is of another model, split or limit."""
        record, model = read_json(self.evaluation / FINISHED_FILE), self.trained_model()
        if record is None or model is None or record != {"sha256": model, **scoring}:
            return None
        return read_json(self.evaluation / METRICS_FILE)

    def record_evaluation(self, scoring: Mapping[str, Any]) -> None:
        """Notes what was evaluated, and how."""
        write_json(self.evaluation / FINISHED_FILE, {"sha256": self.trained_model(), **scoring})


@dataclass(frozen=True)
class Sweep:
    """All runs of a sweep.

    Attributes:
        task: The task of its recipes.
        options: What it was told.
        recipes: Names of the recipes.
        over: Dotted name of each swept field → its values.
        seeds: All seeds.
        cells: The grid.
        runs: Every cell with every seed; first all cells with the first seed, so that an early stop leaves cells that
            can be compared.
    """

    task: Task
    options: SweepOptions
    recipes: tuple[str, ...]
    over: Mapping[str, tuple[Any, ...]]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    runs: tuple[PlannedRun, ...]

    def find(self, cell: str, seed: int) -> PlannedRun:
        """The run of a cell, by its name, and a seed."""
        return next(run for run in self.runs if run.cell.name == cell and run.seed == seed)

    def metrics(self, run: PlannedRun) -> dict | None:
        """The metrics of a run that is finished; None of one that is not."""
        return run.metrics(self.options.scoring)


def common_task(recipes: Sequence[str]) -> Task:
    """The task that recipes are of.

    Raises:
        InputError: There is no such recipe, or they are of several tasks.
    """
    tasks = {name: task_of_recipe(name) for name in recipes}
    (first, task), *others = tasks.items()
    for name, other in others:
        if other is not task:
            raise InputError(f"{name}: it is of the task {other.name}, {first} of {task.name}; sweep each on its own")
    return task


def plan_sweep(options: SweepOptions, bases: Sequence[TrainingRun], cells: Sequence[Cell] | None = None) -> Sweep:
    """Lays out all runs of a sweep.

    Args:
        options: What the sweep was told.
        bases: One run of each recipe, with what all its runs share; recipes of one task.
        cells: The grid; None makes it from the recipes and from what the options vary.

    Raises:
        InputError: An option cannot be used, or the folder of a run holds one with other numbers, which would be put
            beside those of this sweep.
    """
    from perception_tools.training.run_folder import RunFolder

    by_name = {base.name: base for base in bases}
    _check_options(options, bases[0])
    seeds = parse_seeds(options.seeds)
    if cells is None:
        over = parse_over(options.over, bases[0])
        cells = make_grid([*by_name], over)
    else:
        over = values_of(cells)
    runs = tuple(_plan_run(by_name[cell.recipe], cell, seed, options) for seed in seeds for cell in cells)
    for run in runs:
        run.run.recipe.check()
        RunFolder(run.run).check()
    return Sweep(common_task([*by_name]), options, tuple(by_name), over, seeds, tuple(cells), runs)


def _plan_run(base: TrainingRun, cell: Cell, seed: int, options: SweepOptions) -> PlannedRun:
    place = Path(cell.name) / f"seed-{seed}"
    run = cell.apply(base)
    run = replace(
        run,
        recipe=replace(run.recipe, seed=seed),
        out=options.out / "runs" / place,
        split=options.train_split,
        restart=options.restart,
    )
    return PlannedRun(cell, seed, run, options.out / "evaluations" / place, options.out / "logs" / f"{place}.log")


def _check_options(options: SweepOptions, base: TrainingRun) -> None:
    if options.jobs is not None and options.jobs < 1:
        raise InputError(f"--jobs {options.jobs}: expected at least 1; give a positive number")
    if base.nodes > 1:
        raise InputError(f"--nodes {base.nodes}: a sweep runs on one host; sweep other seeds on the other hosts")
    keep_apart([options.out], [options.data])
    if options.device is not None:
        from perception_tools.devices import find_device

        find_device(options.device)  # now, not after the first training


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where there is none, or it is not whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
