"""Generates scenarios by number: the same seed, split and number always result in the same scenario."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Generator
from functools import partial
from pathlib import Path

import numpy as np

from perception.files import alone_in, writing
from perception.geometry import SE2
from perception_datasets.folders import check_split, mark_synthetic
from perception_datasets.procedural.lane_graph import LaneGraph, make_lane_graph
from perception_datasets.procedural.pedestrians import Pedestrians
from perception_datasets.procedural.recording import Recording, record
from perception_datasets.procedural.routes import NearTable
from perception_datasets.procedural.traffic import STEP_S, Traffic, make_vehicles
from perception_datasets.procedural.truth import STEPS, Unusable, check_plausible, true_motion
from perception_datasets.procedural.writer import write_scenario
from perception_datasets.worker_pool import check_processes, worker_pool

_WARM_UP_STEPS = 30
_TRAFFIC_STEPS = _WARM_UP_STEPS + round(STEPS * 0.1 / STEP_S)
_ATTEMPTS = 50
_UNFINISHED = ".unfinished"


def scenario_id(seed: int, split: str, number: int) -> str:
    """Returns the id of a scenario, which is known before the scenario is generated."""
    return str(uuid.UUID(bytes=_random(seed, split, number, 0).bytes(16), version=4))


def make_scenario(seed: int, split: str, number: int) -> tuple[LaneGraph, Recording, SE2]:
    """Generates a scenario: map and tracks, both in the frame `made`, and the transform `city_SE2_made`."""
    for attempt in range(1, _ATTEMPTS):
        rng = _random(seed, split, number, attempt)
        try:
            graph, recording = _try(rng)
        except Unusable:
            continue
        x_m, y_m = rng.uniform(-5000.0, 5000.0, 2)
        return graph, recording, SE2(float(x_m), float(y_m), float(rng.uniform(-np.pi, np.pi)))
    raise RuntimeError(f"no usable traffic in {_ATTEMPTS} attempts for seed {seed}, {split} {number}")


def _random(seed: int, split: str, number: int, attempt: int) -> np.random.Generator:
    return np.random.default_rng([seed, number, attempt, *split.encode()])


def _try(rng: np.random.Generator) -> tuple[LaneGraph, Recording]:
    graph = make_lane_graph(rng)
    table = NearTable(graph)
    vehicles = make_vehicles(graph, table, int(rng.integers(12, 32)), rng)
    pedestrians = Pedestrians(graph, int(rng.integers(0, 9)), rng)
    motion = Traffic(graph, table, vehicles, pedestrians, rng).run(_TRAFFIC_STEPS, rng)
    truth = true_motion(graph, table, vehicles, pedestrians, motion, rng)
    check_plausible(truth)
    return graph, record(truth, len(vehicles.routes), rng)


def make_split(
    out: Path, split: str, *, count: int, seed: int, processes: int | None = None
) -> Generator[Path, None, None]:
    """Writes scenarios 0 to `count` - 1 of a split in parallel; yields the folder of each once it is complete.

    A scenario is written to a hidden folder and then renamed. Existing scenarios are kept, so the same call continues
    an interrupted run.

    Raises:
        InputError: The folder holds other scenarios, another process writes to it, or it cannot be written to.
    """
    check_split(split)
    check_processes(processes)
    folder = out / split
    marker = {"made_by": "perception sample argoverse2", "seed": seed, "note": "synthetic traffic, not recorded"}
    mark_synthetic(out, folder, marker)
    with alone_in(out, "perception sample") as lock, worker_pool(processes, lock, folder) as pool:
        folder.mkdir(exist_ok=True)
        yield from pool.map(partial(_write, folder, split, seed), range(count), chunksize=4)
        shutil.rmtree(folder / _UNFINISHED, ignore_errors=True)


def _write(folder: Path, split: str, seed: int, number: int) -> Path:
    name = scenario_id(seed, split, number)
    if not (folder / name).exists():
        unfinished = folder / _UNFINISHED / str(os.getpid()) / name
        scenario = make_scenario(seed, split, number)
        with writing(folder / name):
            shutil.rmtree(unfinished, ignore_errors=True)
            write_scenario(unfinished, *scenario)
            unfinished.rename(folder / name)
    return folder / name
