"""`perception bench onnx`: exported models in each runtime and precision beside PyTorch and peers, in one run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tyro.conf import Positional

from perception.errors import InputError
from perception_tools.bench.onnx_ways import Way, exported_ways, torch_ways
from perception_tools.json_files import write_json
from perception_tools.machine import describe_machine
from perception_tools.references import resolve
from perception_tools.tasks import Task, TrainedModel, all_tasks, task_of_recipe, task_of_run

if TYPE_CHECKING:
    from perception_tools.export.exportable import Exportable

_QUICK_REPEAT = 3


@dataclass(frozen=True)
class WayTiming:
    """One way of computing a batch.

    Attributes:
        pipeline: Name of the recipe.
        case: What the batch is like.
        way: Runtime and precision.
        p50_ms: Median time on the clock.
        p99_ms: 99th percentile.
        max_ms: Longest time.
        records_per_s: Answers in the batch over the median time.
        speed: Median over the rounds of the first way's time over this way's.
        error: |difference| to the first way's first output over its size; None of other models, which answer otherwise.
        load_s: Time to open it.
        megabytes: Size of its files; 0 for PyTorch, which holds the model already.
        memory_mb: Growth of resident memory from before it was opened to the peak of its first answer to the first
            timed batch, and for PyTorch the model's weights; None where the system does not tell.
    """

    pipeline: str
    case: str
    way: str
    p50_ms: float
    p99_ms: float
    max_ms: float
    records_per_s: float
    speed: float
    error: float | None
    load_s: float
    megabytes: float
    memory_mb: float | None


def bench_onnx(
    runs: Positional[tuple[Path, ...]] = (),
    recipe: tuple[str, ...] = (),
    json: Path | None = None,
    block: str = "smollm2",
    repeat: int = 50,
    threads: int = 1,
    quick: bool = False,
) -> dict:
    """Times exported models in ONNX Runtime and OpenVINO beside PyTorch: latency, throughput, memory, error, loading.

    All ways take turns on the same batches, so that a change in the machine's load meets each of them. PyTorch has
    four: the folded model in float32, with which the others are compared; the same compiled, where that works; the same
    with its block in dynamic int8; and the model as it was trained. Where another library has the encoder's layers, its
    model of the same size stands beside them, without a block.

    Args:
        runs: Runs to time. Without one, an untrained model of each task that can be exported: equal work, answers that
            mean nothing.
        recipe: Recipes whose untrained models are timed, in place of the small ones.
        json: File for all numbers.
        block: URI of the block of untrained models; `random:llama-7b` has LLaMA-7B's size.
        repeat: Number of rounds.
        threads: Number of threads.
        quick: A few rounds of the first batch of each model, in float32 and int8 alone, nothing compiled.
    """
    from perception_nodes.operations.computing import compute_with

    if repeat < 1 or threads < 1:
        raise InputError(f"--repeat {repeat} --threads {threads}: expected at least 1; leave them out for the usual")
    compute_with(threads)
    models = [(task_of_run(run), task_of_run(run).load_model(run)) for run in runs]
    models += [(task_of_recipe(name), untrained(task_of_recipe(name), block, name)) for name in recipe]
    if not models:
        models = [(task, untrained(task, block)) for task in all_tasks() if task.export and task.untrained]
    timings: list[WayTiming] = []
    for task, trained in models:
        if task.export is None:
            raise InputError(f"{trained.name}: models of the task {task.name} cannot be exported yet; leave it out")
        timings += _time_model(task, trained, _QUICK_REPEAT if quick else repeat, threads, quick=quick)
    result = {"machine": describe_machine(), "threads": threads, "timings": [asdict(timing) for timing in timings]}
    if json is not None:
        write_json(json, result)
    return result


def untrained(task: Task, block: str, recipe: str | None = None) -> TrainedModel:
    """A recipe's model, or the task's usual one, as it is before training but for a block that counts.

    Raises:
        InputError: The task's models cannot be exported.
    """
    import torch

    from perception.frozen.adapter import FrozenBlockAdapter

    if task.untrained is None:
        raise InputError(f"--recipe {recipe}: models of the task {task.name} cannot be exported yet; leave it out")
    trained = resolve(task.untrained)(block, recipe)
    adapter = trained.model.block
    if isinstance(adapter, FrozenBlockAdapter) and adapter.residual:
        seeded = torch.Generator().manual_seed(0)
        for parameter in adapter.project_out.parameters():  # zero before training: no precision would show an error
            torch.nn.init.normal_(parameter, std=0.02, generator=seeded)
    return trained


def _time_model(task: Task, trained: TrainedModel, repeat: int, threads: int, *, quick: bool) -> list[WayTiming]:
    assert task.export is not None
    exportable: Exportable = resolve(task.export)(trained)
    batches = exportable.cases()
    timed = exportable.timed[:1] if quick else exportable.timed
    print(f"{trained.name}: {repeat} rounds, {threads} thread{'s' if threads > 1 else ''}")
    with tempfile.TemporaryDirectory() as folder:
        first = batches[timed[0]]
        ways = [
            *torch_ways(exportable, trained, first, quick),
            *exported_ways(exportable, batches, first, Path(folder), threads, quick),
        ]
        return [
            timing
            for case in timed
            for timing in _time_case(trained.name, case, batches[case], exportable, ways, repeat)
        ]


def _time_case(
    pipeline: str, case: str, batch: Any, exportable: Exportable, ways: Sequence[Way], repeat: int
) -> list[WayTiming]:
    """All ways by turns; each round starts with another one."""
    answers = {way.name: way.answer(batch)[0].astype(np.float64) for way in ways}
    first, valid = answers[ways[0].name], exportable.valid(batch)
    records = len(first) if valid is None else int(valid.sum())
    errors = {way.name: _error(answers[way.name], first) if way.is_same else None for way in ways}
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    for turn in range(repeat):
        start = turn % len(ways)
        for way in (*ways[start:], *ways[:start]):
            began_s = time.perf_counter()
            way.answer(batch)
            seconds[way.name].append(time.perf_counter() - began_s)
    baseline = np.array(seconds[ways[0].name])
    print(f" {case}")
    timings = []
    for way in ways:
        taken = np.array(seconds[way.name])
        p50, p99 = (float(np.percentile(taken, share)) for share in (50, 99))
        timing = WayTiming(
            pipeline=pipeline,
            case=case,
            way=way.name,
            p50_ms=1e3 * p50,
            p99_ms=1e3 * p99,
            max_ms=1e3 * float(taken.max()),
            records_per_s=records / p50,
            speed=float(np.median(baseline / taken)),
            error=errors[way.name],
            load_s=way.load_s,
            megabytes=way.megabytes,
            memory_mb=way.memory_mb,
        )
        print(_line(timing), flush=True)
        timings.append(timing)
    return timings


def _line(of: WayTiming) -> str:
    error = "another model" if of.error is None else f"error {of.error:.1e}"
    memory = "" if of.memory_mb is None else f"  takes {of.memory_mb:6.0f} MB"
    return (
        f"  {of.way:<26}{of.speed:6.2f}x   p50 {of.p50_ms:8.2f}  p99 {of.p99_ms:8.2f}  max {of.max_ms:8.2f} ms  "
        f"{of.records_per_s:9.1f} /s   {error:<13}{memory}   loaded in {of.load_s:.2f} s, {of.megabytes:.1f} MB"
    )


def _error(answer: np.ndarray, first: np.ndarray) -> float:
    return float(np.linalg.norm(answer - first) / (np.linalg.norm(first) or 1.0))
