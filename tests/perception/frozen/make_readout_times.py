"""Measures forward and backward pass of every regime for a range of sizes; writes readout_times.json beside this file.

Run it on a quiet machine, single-threaded: `OMP_NUM_THREADS=1 python tests/perception/frozen/make_readout_times.py`.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import get_args

import torch
from torch import nn

from perception.frozen.block import BlockConfig
from perception.frozen.readout import read_rows
from perception.frozen.readout_cost import Regime
from perception.tokens import Readout, Tokens

SMOLLM2 = BlockConfig("llama", 576, 9, 3, 1536, 1e-5)
MIDDLE = BlockConfig("llama", 1024, 16, 16, 2752, 1e-5)
LLAMA_7B = BlockConfig("llama", 4096, 32, 32, 11008, 1e-6)

CASES = [  # block, then batch, tokens, rows, dim
    (SMOLLM2, 31, 80, 1, 256),
    (SMOLLM2, 8, 80, 12, 256),
    (SMOLLM2, 8, 80, 80, 256),
    (SMOLLM2, 1, 80, 1, 64),
    (SMOLLM2, 1, 4, 1, 64),
    (SMOLLM2, 1, 80, 32, 256),
    (SMOLLM2, 4, 50, 1, 512),
    (SMOLLM2, 8, 50, 4, 768),
    (SMOLLM2, 32, 80, 80, 128),
    (SMOLLM2, 16, 200, 1, 64),
    (MIDDLE, 8, 197, 1, 384),
    (MIDDLE, 8, 65, 65, 384),
    (MIDDLE, 8, 140, 17, 256),
    (MIDDLE, 1, 140, 8, 256),
    (MIDDLE, 1, 1568, 1568, 384),
    (MIDDLE, 1, 10, 10, 384),
    (MIDDLE, 4, 140, 4, 256),
    (LLAMA_7B, 4, 197, 1, 384),
    (LLAMA_7B, 4, 140, 17, 256),
    (LLAMA_7B, 1, 140, 32, 256),
]


def main(repetitions: int = 5) -> None:
    """Measures medians of processor time; regimes alternate, so that the machine's load affects all of them equally."""
    torch.set_num_threads(1)
    table = []
    for config, batch, tokens, rows, dim in CASES:
        block, project_in = config.build().requires_grad_(False), nn.Linear(dim, config.dim, bias=False)
        values = torch.randn(batch, tokens, dim, requires_grad=True)
        everything = Tokens(values, torch.ones(batch, tokens, dtype=torch.bool))
        readout = Readout(torch.randint(tokens, (batch, rows)))
        seconds: dict[Regime, list[float]] = {regime: [] for regime in get_args(Regime)}
        for _ in range(1 + repetitions):
            for regime, measured in seconds.items():
                start = time.process_time()
                read_rows(block, project_in, everything, readout, regime).square().sum().backward()
                measured.append(time.process_time() - start)
        work = [batch, tokens, rows, dim, config.dim, config.heads, config.kv_heads]
        milliseconds = {regime: round(1e3 * statistics.median(times[1:]), 2) for regime, times in seconds.items()}
        table.append(json.dumps({"work": work, "milliseconds": milliseconds}))
        print(table[-1], flush=True)
    Path(__file__).with_name("readout_times.json").write_text("[\n  " + ",\n  ".join(table) + "\n]\n")


if __name__ == "__main__":
    main()
