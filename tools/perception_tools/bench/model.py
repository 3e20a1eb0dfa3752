"""`perception bench model RUN --data DIR`: what a trained model's block costs in each form, on real records."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from perception.errors import InputError
from perception_tools.references import resolve
from perception_tools.tasks import task_of_run

if TYPE_CHECKING:
    from perception.kernels.precision import Precision

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8", "int8_dynamic")


@dataclass(frozen=True)
class FormTiming:
    """How long a form of the block takes.

    Attributes:
        form: `trained`, or the precision of the folded block.
        calls: Number of calls that were timed.
        block_ms_p50: Median time of a call.
        block_ms_p99: 99th percentile.
        ratio: The trained form's median over this one's.
        total_s: Time of everything, reading the records included.
    """

    form: str
    calls: int
    block_ms_p50: float
    block_ms_p99: float
    ratio: float
    total_s: float


def bench_model(
    run: Positional[Path],
    data: Path,
    split: str = "val",
    limit: int = 50,
    repeat: int = 3,
    threads: int = 1,
) -> dict:
    """Times the block of a trained model on real records: as it was trained, and folded in every precision.

    All forms take turns in one run, so that a change in the machine's load meets each of them.

    Args:
        run: A run's folder, or its model file.
        data: A data set folder, as for `perception evaluate`.
        split: Split of it.
        limit: Number of records.
        repeat: Number of rounds; the medians are over all calls of all rounds.
        threads: Number of threads that torch computes with.
    """
    import torch

    from perception.frozen.folded import can_fold
    from perception_tools.machine import processor

    if threads < 1 or repeat < 1:
        raise InputError(f"--threads {threads} --repeat {repeat}: expected at least 1 of each; give positive numbers")
    torch.set_num_threads(threads)
    task = task_of_run(run)
    trained = task.load_model(run)
    if trained.model.block is None:
        raise InputError(f"{run}: expected a model with a block to time, this one has none")
    forms = {"trained": trained.model}
    if can_fold(trained.model.block):
        forms |= {precision: trained.model.folded(precision) for precision in PRECISIONS}
    timed = {form: make_timed(model) for form, model in forms.items()}
    totals = dict.fromkeys(timed, 0.0)
    for _ in range(repeat):
        for form, model in timed.items():
            start = time.perf_counter()
            resolve(task.headline)(model, trained, data, split, limit)
            totals[form] += time.perf_counter() - start
    timings = _timings(timed, totals)
    frozen, trainable = _parameters(trained.model)
    print(
        f"{trained.name}, {trainable:,} trainable and {frozen:,} frozen parameters; {processor()}, threads: {threads}"
    )
    print(_table(timings))
    return {"name": trained.name, "threads": threads, "forms": [asdict(timing) for timing in timings]}


def make_timed(model: Any) -> Any:
    """The model with a block that notes how long each of its calls takes, in `model.block.seconds`."""
    from torch import nn

    class TimedBlock(nn.Module):
        def __init__(self, block: nn.Module) -> None:
            super().__init__()
            self.timed = block
            self.seconds: list[float] = []

        def forward(self, *inputs: Any) -> Any:
            start = time.perf_counter()
            out = self.timed(*inputs)
            self.seconds.append(time.perf_counter() - start)
            return out

    return model.with_block(TimedBlock(model.block))


def _timings(timed: dict[str, Any], totals: dict[str, float]) -> list[FormTiming]:
    import numpy as np

    milliseconds = {form: 1e3 * np.array(model.block.seconds) for form, model in timed.items()}
    base = float(np.median(milliseconds["trained"]))
    return [
        FormTiming(
            form, len(ms), float(np.median(ms)), float(np.percentile(ms, 99)), base / float(np.median(ms)), totals[form]
        )
        for form, ms in milliseconds.items()
    ]


def _parameters(model: Any) -> tuple[int, int]:
    """Numbers of frozen and of trainable parameters."""
    counts = {True: 0, False: 0}
    for parameter in model.parameters():
        counts[parameter.requires_grad] += parameter.numel()
    return counts[False], counts[True]


def _table(timings: list[FormTiming]) -> str:
    lines = [f"{'block':<14}{'calls':>8}{'p50, ms':>10}{'p99, ms':>10}{'ratio':>8}{'all, s':>9}"]
    lines += [
        f"{t.form:<14}{t.calls:>8}{t.block_ms_p50:>10.2f}{t.block_ms_p99:>10.2f}{t.ratio:>7.2f}x{t.total_s:>9.1f}"
        for t in timings
    ]
    return "\n".join(lines)
