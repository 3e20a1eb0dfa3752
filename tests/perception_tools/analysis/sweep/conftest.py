"""A sweep's plan on the tiny data set, runs that are finished without training, and a table of made results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception_tools.analysis.sweep.plan import PlannedRun, Sweep

METRICS = {"k6/min_fde": "min", "k6/miss_rate": "max"}
TINY = "--heads 2 --source random:32x48x4?seed=0 --batch-scenarios 2 --targets-per-scenario 3 --warmup-steps 2"


@pytest.fixture
def make_sweep(data: Path, tmp_path: Path) -> Callable[..., Sweep]:
    """Plans a sweep of tiny runs: two cells with two seeds, unless other options are given."""
    from perception_tools.commands.sweep import read_sweep

    def make(options: str = "--over dim=8,16 --seeds 0,1", recipe: str = "forecast/vectornet") -> Sweep:
        shared = f"{TINY} --passes 1 --validate-every 1 --accelerator cpu --data {data} --out {tmp_path / 'out'}"
        return read_sweep([recipe, *f"{options} {shared}".split()])

    return make


@pytest.fixture
def finish() -> Callable[..., None]:
    """Leaves what a finished run leaves, with given numbers, and without training anything."""

    from perception_tools.training.run_folder import RunFolder

    def leave(sweep: Sweep, planned: PlannedRun, min_fde: float = 1.0) -> None:
        planned.run.out.mkdir(parents=True)
        (planned.run.out / "run.json").write_text(json.dumps(planned.description()))
        (planned.run.out / "model.safetensors").write_text(planned.name)
        RunFolder(planned.run).finish()
        metrics = {"source": "argoverse1", "k6": {"min_fde": min_fde, "min_ade": 1.0, "miss_rate": 0.5}}
        planned.evaluation.mkdir(parents=True)
        (planned.evaluation / "metrics.json").write_text(json.dumps(metrics | {"k1": {"min_fde": 2.0}}))
        planned.record_evaluation(sweep.options.scoring)

    return leave


@pytest.fixture
def make_table() -> Callable[..., dict]:
    """Makes what table.json holds from random numbers; the second cell lacks its last seed."""
    from perception_tools.analysis.sweep.grid import make_grid
    from perception_tools.analysis.sweep.table import CellResults, make_table

    def make(recipes: tuple[str, ...], over: dict[str, tuple], seeds: tuple[int, ...] = (0, 1, 2)) -> dict:
        generator = np.random.default_rng(0)
        results = []
        for number, cell in enumerate(make_grid(recipes, over)):
            lost = seeds[-1:] if number == 1 and len(seeds) > 1 else ()
            values = {seed: 2.0 - 0.3 * number + generator.normal(0, 0.02) for seed in seeds if seed not in lost}
            metrics = {seed: {"k6": {"min_fde": value, "miss_rate": value / 4}} for seed, value in values.items()}
            results.append(CellResults(cell, metrics, dict.fromkeys(lost, "RuntimeError: out of memory")))
        about = {"split": "val", "limit": None, "data": "data", "source": "argoverse1", "jobs": 1, "threads": 1}
        swept = {"over": {name: list(values) for name, values in over.items()}, "seeds": list(seeds)}
        recipe_numbers = {name: {"dim": 8} for name in recipes}
        return make_table(results, METRICS, seeds) | about | swept | {"recipes": recipe_numbers}

    return make
