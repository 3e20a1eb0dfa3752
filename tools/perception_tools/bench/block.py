"""`perception bench block`: the frozen block at the cost of what is read, beside the plain one, in one run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from perception.errors import InputError
from perception_tools.json_files import write_json

if TYPE_CHECKING:
    from perception_tools.bench.block_cases import Case
    from perception_tools.bench.roofline import Machine

NAMES = ("vit-cls", "vit-cls-backward", "agents-backward", "frame", "point-bert", "video-mae", "plain", "service",
         "vit-step")  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One way of doing a case's work, beside the baseline.

    Attributes:
        case: Its name.
        work: What it is, in words.
        way: What is done differently from the baseline.
        dtype: Type of the weights.
        regime: Regime of the readout.
        seconds: Median.
        seconds_range: Fastest and slowest.
        baseline: What it is held against.
        baseline_seconds: Median.
        baseline_range: Fastest and slowest.
        ratio: The baseline's time over this one's.
        max_relative_error: Largest difference of any value (or gradient) from the baseline's, relative to the largest
            value there.
        gflops: Arithmetic done a second, multiply and add counted apart.
        gbytes_per_s: Weights read a second.
        limit_seconds: The least time for this arithmetic and these weights on this machine.
    """

    case: str
    work: str
    way: str
    dtype: str
    regime: str
    seconds: float
    seconds_range: tuple[float, float]
    baseline: str
    baseline_seconds: float
    baseline_range: tuple[float, float]
    ratio: float
    max_relative_error: float
    gflops: float
    gbytes_per_s: float
    limit_seconds: float


def bench_block(
    json: Path | None = None,
    plot: Path | None = None,
    cases: tuple[str, ...] = NAMES,
    block: str = "random:llama-7b",
    quick: bool = False,
    repeat: int = 3,
    threads: int | None = None,
) -> None:
    """Times the readout, the folded form and the block service against the plain block, taking turns in one run.

    Prints every ratio with medians and spread, and how far each is from what the machine can do, measured in the same
    run. The cases: vit-cls, vit-cls-backward, agents-backward (VectorNet), frame (one served frame), point-bert,
    video-mae, plain (the baseline itself, beside transformers' layer), service (four pipelines) and vit-step (a whole
    training step; needs timm).

    Args:
        json: File for all numbers.
        plot: PNG for a picture of the ratios.
        cases: Only these.
        block: URI of the block.
        quick: Smaller batches, in under two minutes.
        repeat: Rounds.
        threads: PyTorch's; its own choice by default.
    """
    import torch

    from perception_tools.bench.block_cases import PRECISIONS, Bench
    from perception_tools.bench.roofline import measure_machine

    unknown = [name for name in cases if name not in NAMES]
    if unknown:
        raise InputError(f"--cases: no case {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    machine = measure_machine(PRECISIONS)
    rates = ", ".join(f"{precision} {rate:.0f}" for precision, rate in machine.gflops.items())
    print(
        f"{machine.processor}, {machine.threads} threads: GFLOP/s {rates}; reads {machine.read_gbytes_per_s:.1f} GB/s"
    )
    print(f"block {block}{', quick: smaller batches' if quick else ''}; medians of {repeat}\n")
    bench, results = Bench(block, quick), []
    for name in cases:
        try:
            case = bench.cases()[name]()
        except ImportError as error:
            print(f"{name}: left out, {error}\n")
            continue
        results += _run(case, machine, repeat)
        if json:
            _write(json, machine, results)
    if plot and results:
        from perception_tools.bench.block_ratios import draw_ratios

        draw_ratios([(f"{r.case}: {r.way}, {r.dtype}", r.ratio) for r in results], plot)


def _run(case: Case, machine: Machine, repeat: int) -> list[Result]:
    """All ways take turns, so that a change in the machine's load meets each of them."""
    import time

    print(f"{case.name}: {case.description}; against {case.baseline_name}", flush=True)
    ways = [case.baseline, *(contender.work for contender in case.contenders)]
    truth, outputs = None, []
    seconds: list[list[float]] = [[] for _ in ways]
    for way in ways[1:]:
        way()  # packs weights, fills caches; the baseline is too long for that to matter
    for _ in range(repeat):
        outputs = []
        for way, measured in zip(ways, seconds, strict=True):
            began = time.perf_counter()
            outputs.append(way())
            measured.append(time.perf_counter() - began)
        truth = outputs[0]
    case.close()
    assert truth is not None
    results = []
    for index, contender in enumerate(case.contenders, 1):
        taken, baseline = _median(seconds[index]), _median(seconds[0])
        result = Result(
            case.name, case.description, contender.name, contender.precision, contender.regime,
            taken, (min(seconds[index]), max(seconds[index])),
            case.baseline_name, baseline, (min(seconds[0]), max(seconds[0])),
            baseline / taken, _error(outputs[index], truth), contender.flops / taken / 1e9,
            contender.weight_bytes / taken / 1e9,
            machine.limit_seconds(contender.precision, contender.flops, contender.weight_bytes),
        )  # fmt: skip
        results.append(result)
        print(_line(result), flush=True)
    print(f"  {case.baseline_name}: {_spread(_median(seconds[0]), results[0].baseline_range)}\n", flush=True)
    return results


def _line(result: Result) -> str:
    name = f"{result.way}, {result.dtype}"
    return (
        f"  {name:<30} {result.regime:<9} {result.ratio:7.2f}x  {_spread(result.seconds, result.seconds_range):<32}"
        f" error {result.max_relative_error:.0e}  {result.gflops:6.1f} GFLOP/s {result.gbytes_per_s:5.1f} GB/s"
        f"  {result.limit_seconds / result.seconds:4.0%} of the limit"
    )


def _spread(median: float, limits: tuple[float, float]) -> str:
    return f"{1000 * median:.1f} ms [{1000 * limits[0]:.1f}, {1000 * limits[1]:.1f}]"


def _median(values: list[float]) -> float:
    import statistics

    return statistics.median(values)


def _error(values: list, truth: list) -> float:
    """Over all tensors, each relative to its largest value."""
    errors = [((v.float() - t.float()).abs().max() / t.abs().max()).item() for v, t in zip(values, truth, strict=True)]
    return max(errors, default=float("nan"))


def _write(path: Path, machine: Machine, results: list[Result]) -> None:
    """The contract's list; the machine stands in every row, so that rows of several machines can be put together."""
    rows = [
        {**asdict(r), "processor": machine.processor, "threads": machine.threads,
         "peak_gflops": machine.gflops, "peak_gbytes_per_s": machine.read_gbytes_per_s}
        for r in results
    ]  # fmt: skip
    write_json(path, rows)
