"""Ways of doing the same work, timed by turns in one run, and the memory that they take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Timing:
    """A way of doing a batch's work, beside the first way.

    Attributes:
        kind: A training step, inference, or another kind of work.
        way: What does it.
        batch: Number of records.
        threads: Number of threads that torch computes with.
        seconds: Median time.
        seconds_range: Fastest and slowest.
        records_per_s: From the median.
        speed: Median over the rounds of the first way's time in the round over this way's.
        speed_range: Smallest and largest of these.
        cpu_speed: The same of processor time, which other programs on the machine change less. With several threads it
            counts their waiting for each other too.
        cpu_speed_range: Smallest and largest of these.
        memory_mb: Peak memory of trained weights, gradients, optimizer and activations, without the block's weights;
            None in inference.
        memory_ratio: The memory over the first way's.
    """

    kind: str
    way: str
    batch: int
    threads: int
    seconds: float
    seconds_range: tuple[float, float]
    records_per_s: float
    speed: float
    speed_range: tuple[float, float]
    cpu_speed: float
    cpu_speed_range: tuple[float, float]
    memory_mb: float | None = None
    memory_ratio: float | None = None


@dataclass(frozen=True)
class Work:
    """Something to be timed.

    Attributes:
        run: Does it once.
        trained_bytes: Size of the weights that are trained.
    """

    run: Callable[[], Any]
    trained_bytes: int = 0


def make_step(model: nn.Module, records: Tensor, labels: Tensor) -> Work:
    """A training step of a classifier."""
    from perception.losses.classification import classification_loss

    return make_training(model, lambda: classification_loss(model(records), labels))


def make_training(model: nn.Module, compute_loss: Callable[[], Tensor]) -> Work:
    """A training step that lowers a loss."""
    import torch

    trained = [parameter for parameter in model.train().parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, 1e-4, fused=True)  # as `perception_tools.training.optim` makes it

    def step() -> None:
        loss = compute_loss()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return Work(step, sum(parameter.nbytes for parameter in trained))


def make_inference(model: nn.Module, records: Tensor) -> Work:
    """A forward pass without gradients."""
    import torch

    model.eval()
    return Work(torch.inference_mode()(lambda: model(records)))


def compare(
    kind: str, ways: dict[str, Work], batch: int, repeat: int, peaks: dict[str, float] | None = None
) -> list[Timing]:
    """Lets all ways take turns, so that a change in the machine's load meets each of them; the first is the baseline.

    Each round starts with another way.
    """
    import torch

    seconds: dict[str, list[float]] = {way: [] for way in ways}
    cpu_seconds: dict[str, list[float]] = {way: [] for way in ways}
    for work in ways.values():
        work.run()
    names = list(ways)
    for turn in range(repeat):
        first = turn % len(names)
        for way in names[first:] + names[:first]:
            began, cpu_began = time.perf_counter(), time.process_time()
            ways[way].run()
            seconds[way].append(time.perf_counter() - began)
            cpu_seconds[way].append(time.process_time() - cpu_began)
    timings = []
    for way, taken in seconds.items():
        ratios, cpu_ratios = (_ratios(of[names[0]], of[way]) for of in (seconds, cpu_seconds))
        median, peak, base_peak = statistics.median(taken), (peaks or {}).get(way), (peaks or {}).get(names[0])
        timing = Timing(
            kind, way, batch, torch.get_num_threads(), median, (min(taken), max(taken)), batch / median,
            *ratios, *cpu_ratios, peak, peak / base_peak if peak and base_peak else None,
        )  # fmt: skip
        print(_line(timing), flush=True)
        timings.append(timing)
    return timings


def _ratios(baseline: list[float], own: list[float]) -> tuple[float, tuple[float, float]]:
    """Median and limits of the ratio in each round."""
    ratios = [base / one for base, one in zip(baseline, own, strict=True)]
    return statistics.median(ratios), (min(ratios), max(ratios))


def peak_megabytes(work: Work) -> float:
    """The size of the trained weights, and the most that torch's tensors take at any time of a first run beside them.

    What oneDNN takes for itself during a product is not counted.
    """
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work.run()
    results = profiled.profiler.kineto_results if profiled.profiler else None
    assert results is not None
    events: list[Any] = [event for event in results.events() if event.name() == "[memory]"]
    changes = sorted(events, key=lambda event: event.start_ns())
    return (max(accumulate(event.nbytes() for event in changes)) + work.trained_bytes) / 2**20


def _line(timing: Timing) -> str:
    low, high = timing.seconds_range
    memory = f"  {timing.memory_mb:6.0f} MB, {timing.memory_ratio:.2f}x" if timing.memory_mb else ""
    return (
        f"  {timing.kind:<10}{timing.way:<34}{timing.speed:6.3f}x [{timing.speed_range[0]:.3f}, "
        f"{timing.speed_range[1]:.3f}]  cpu {timing.cpu_speed:.3f}x [{timing.cpu_speed_range[0]:.3f}, "
        f"{timing.cpu_speed_range[1]:.3f}]  {1e3 * timing.seconds:7.0f} ms [{1e3 * low:.0f}, {1e3 * high:.0f}]"
        f"  {timing.records_per_s:8.1f} /s{memory}"
    )
