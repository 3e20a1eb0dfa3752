"""What the machine can do at most: the measure that a kernel's time is held against."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from perception.kernels.precision import Precision, with_precision
from perception_tools.machine import processor

WIDTH, ROWS = 4096, 1024


@dataclass(frozen=True)
class Machine:
    """Measured peaks.

    Attributes:
        processor: Its name.
        threads: That were used.
        gflops: GFLOP/s of a large matrix product with weights of each precision, multiply and add counted apart.
        read_gbytes_per_s: GB/s read from memory that no cache holds.
    """

    processor: str
    threads: int
    gflops: dict[Precision, float]
    read_gbytes_per_s: float

    def limit_seconds(self, precision: Precision, flops: float, weight_bytes: float) -> float:
        """The least time for this arithmetic while these weights are read, were both perfectly overlapped."""
        return max(flops / self.gflops[precision] / 1e9, weight_bytes / self.read_gbytes_per_s / 1e9)


def measure_machine(precisions: tuple[Precision, ...]) -> Machine:
    """Measures the peaks, a few seconds."""
    x, linear = torch.randn(ROWS, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)
    flops = 2.0 * ROWS * WIDTH * WIDTH
    gflops: dict[Precision, float] = {}
    with torch.inference_mode():
        for precision in precisions:
            layer = with_precision(linear, precision)
            gflops[precision] = flops / _median_seconds(lambda layer=layer: layer(x)) / 1e9
    memory = torch.ones(256 << 18)
    read = memory.nbytes / _median_seconds(memory.sum) / 1e9
    name = f"{processor()}, {torch.backends.cpu.get_cpu_capability()}"
    return Machine(name, torch.get_num_threads(), gflops, read)


def _median_seconds(work: Callable[[], object], repeat: int = 5) -> float:
    work()
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
