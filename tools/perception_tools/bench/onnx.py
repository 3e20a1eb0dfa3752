"""`perception bench onnx`: exported models in each runtime and precision beside PyTorch, in one run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tyro.conf import Positional

from perception.errors import InputError
from perception_tools.json_files import write_json
from perception_tools.machine import describe_machine
from perception_tools.references import resolve
from perception_tools.tasks import Task, TrainedModel, all_tasks, task_of_run

if TYPE_CHECKING:
    from perception_tools.export.exportable import Exportable

FIRST = "torch float32"
"""The way that all others are held against: folded, with the kernels that nodes run."""
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
        speed: Median over the rounds of the first way's time over this way's.
        error: |difference| to the first way's first output over its size.
        load_s: Time to open it.
        megabytes: Size of its files; 0 for PyTorch, which holds the model already.
    """

    pipeline: str
    case: str
    way: str
    p50_ms: float
    p99_ms: float
    max_ms: float
    speed: float
    error: float
    load_s: float
    megabytes: float


@dataclass(frozen=True)
class _Way:
    """Something that answers a batch.

    Attributes:
        name: Runtime and precision.
        answer: Gives the outputs in the order of the graph.
        load_s: Time to open it.
        megabytes: Size of its files.
    """

    name: str
    answer: Callable[[Any], Sequence[np.ndarray]]
    load_s: float = 0.0
    megabytes: float = 0.0


def bench_onnx(
    runs: Positional[tuple[Path, ...]] = (),
    json: Path | None = None,
    block: str = "smollm2",
    repeat: int = 50,
    threads: int = 1,
    quick: bool = False,
) -> dict:
    """Times exported models in ONNX Runtime and OpenVINO beside PyTorch: latency, error, loading, size of the files.

    All ways take turns on the same batches, so that a change in the machine's load meets each of them. PyTorch has
    three: the folded model in float32, with which the others are compared; the same with its block in dynamic int8; and
    the model as it was trained.

    Args:
        runs: Runs to time. Without one, an untrained model of each task that can be exported: equal work, answers that
            mean nothing.
        json: File for all numbers.
        block: URI of the block of untrained models; `random:llama-7b` has LLaMA-7B's size.
        repeat: Number of rounds.
        threads: Number of threads.
        quick: A few rounds of the first batch of each model, in float32 and int8 alone.
    """
    from perception_nodes.operations.computing import compute_with

    if repeat < 1 or threads < 1:
        raise InputError(f"--repeat {repeat} --threads {threads}: expected at least 1; leave them out for the usual")
    compute_with(threads)
    models = [(task_of_run(run), task_of_run(run).load_model(run)) for run in runs] or _untrained(block)
    timings: list[WayTiming] = []
    for task, trained in models:
        if task.export is None:
            raise InputError(f"{trained.name}: models of the task {task.name} cannot be exported yet; leave it out")
        timings += _time_model(task, trained, _QUICK_REPEAT if quick else repeat, threads, quick=quick)
    result = {"machine": describe_machine(), "threads": threads, "timings": [asdict(timing) for timing in timings]}
    if json is not None:
        write_json(json, result)
    return result


def _untrained(block: str) -> list[tuple[Task, TrainedModel]]:
    return [(task, resolve(task.untrained)(block)) for task in all_tasks() if task.export and task.untrained]


def _time_model(task: Task, trained: TrainedModel, repeat: int, threads: int, *, quick: bool) -> list[WayTiming]:
    assert task.export is not None
    exportable: Exportable = resolve(task.export)(trained)
    batches = exportable.cases()
    timed = exportable.timed[:1] if quick else exportable.timed
    print(f"{trained.name}: {repeat} rounds, {threads} thread{'s' if threads > 1 else ''}")
    with tempfile.TemporaryDirectory() as folder:
        ways = [*_torch_ways(exportable, trained), *_exported_ways(exportable, batches, Path(folder), threads, quick)]
        return [timing for case in timed for timing in _time_case(trained.name, case, batches[case], ways, repeat)]


def _torch_ways(exportable: Exportable, trained: TrainedModel) -> list[_Way]:
    import torch

    from perception.frozen.folded import can_fold

    def way(name: str, model: Any) -> _Way:
        def answer(batch: Any) -> Sequence[np.ndarray]:
            with torch.inference_mode():
                return [value.numpy() for value in _named(exportable.source.call(model, batch))]

        return _Way(name, answer)

    ways = [way(FIRST, exportable.source.model)]
    if can_fold(trained.model.block):
        ways.append(way("torch int8_dynamic", trained.model.folded("int8_dynamic")))
    return [*ways, way("torch, not folded", trained.model)]


def _named(answer: Any) -> list[Any]:
    from perception.batches import named_tensors

    return list(named_tensors(answer).values())


def _exported_ways(
    exportable: Exportable, batches: Mapping[str, Any], folder: Path, threads: int, quick: bool
) -> list[_Way]:
    import onnx

    from perception_nodes.exported.runtimes import Backend, open_runtime
    from perception_tools.export.graph import trace
    from perception_tools.export.narrowing import name_tail, narrow, tail_weights
    from perception_tools.export.onnx_file import write_onnx
    from perception_tools.export.precisions import ExportPrecision

    proto = trace(exportable.source, next(iter(batches.values())))
    names = name_tail(proto, tail_weights(exportable.source.model))
    narrow_ones: list[ExportPrecision] = ["int8"] if quick else ["int8", "int4"]
    precisions: list[ExportPrecision] = ["float32", *(narrow_ones if names else [])]
    backends: list[Backend] = [name for name in ("onnxruntime", "openvino") if find_spec(name) is not None]
    ways = []
    for precision in precisions:
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        metadata = {"name": "bench", **exportable.metadata}
        files = write_onnx(narrow(copy, names, precision), folder / f"{precision}.onnx", metadata)
        for backend in backends:
            began_s = time.perf_counter()
            runtime = open_runtime(files[-1], backend, threads=threads)
            load_s = time.perf_counter() - began_s
            size = sum(file.stat().st_size for file in files) / 1e6
            ways.append(_Way(f"{backend} {precision}", _asks(exportable, runtime), load_s, size))
    return ways


def _asks(exportable: Exportable, runtime: Any) -> Callable[[Any], Sequence[np.ndarray]]:
    from perception.batches import named_tensors

    def answer(batch: Any) -> Sequence[np.ndarray]:
        arrays = {name: value.numpy() for name, value in named_tensors(batch, exportable.source.input_name).items()}
        return list(runtime.run(arrays).values())

    return answer


def _time_case(pipeline: str, case: str, batch: Any, ways: Sequence[_Way], repeat: int) -> list[WayTiming]:
    """All ways by turns; each round starts with another one."""
    answers = {way.name: way.answer(batch)[0].astype(np.float64) for way in ways}
    errors = {name: _error(answer, answers[ways[0].name]) for name, answer in answers.items()}
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    for turn in range(repeat):
        start = turn % len(ways)
        for way in (*ways[start:], *ways[:start]):
            began_s = time.perf_counter()
            way.answer(batch)
            seconds[way.name].append(time.perf_counter() - began_s)
    baseline = np.array(seconds[ways[0].name])
    timings = []
    print(f" {case}")
    for way in ways:
        taken = np.array(seconds[way.name])
        p50, p99 = (1e3 * float(np.percentile(taken, share)) for share in (50, 99))
        speed, longest = float(np.median(baseline / taken)), 1e3 * float(taken.max())
        timing = WayTiming(
            pipeline, case, way.name, p50, p99, longest, speed, errors[way.name], way.load_s, way.megabytes
        )
        print(
            f"  {way.name:<22}{speed:6.2f}x   p50 {p50:8.2f}  p99 {p99:8.2f}  max {longest:8.2f} ms   error "
            f"{timing.error:.1e}   loaded in {way.load_s:.2f} s, {way.megabytes:.1f} MB",
            flush=True,
        )
        timings.append(timing)
    return timings


def _error(answer: np.ndarray, first: np.ndarray) -> float:
    return float(np.linalg.norm(answer - first) / (np.linalg.norm(first) or 1.0))
