"""Refuses weights that do not fit into memory before they are allocated."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch

from perception.frozen.weights.blocks import WeightsError


def expect_memory(weights: int, dtype: torch.dtype, source: str) -> None:
    """Refuses a number of weights that takes more memory than is available.

    Raises:
        WeightsError: There is less memory.
    """
    needed, available = weights * dtype.itemsize, available_memory()
    if needed > available:
        raise WeightsError(
            f"{source}: its weights take {needed / 1e9:.1f} GB of memory, of which {available / 1e9:.1f} GB are "
            "available; take fewer blocks or smaller ones"
        )


def available_memory() -> int:
    """Returns the bytes of memory that the system can give; without Linux's /proc, those that the machine has."""
    try:
        found = re.search(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return 1024 * int(found[1]) if found else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
