"""Memory that a piece of work takes, as the system counts it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def growth_of(work: Callable[[], Result]) -> tuple[Result, float | None]:
    """Does some work; returns its result, and by how many megabytes resident memory grew at most meanwhile.

    What was freed before is given back to the system first, or the work would take it without growing. Files that are
    mapped into memory count once they are read. None where the system does not tell (not Linux).
    """
    before = _begin()
    result = work()
    return result, None if before is None else max(_megabytes("VmHWM") - before, 0.0)


def _begin() -> float | None:
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text("5")  # the peak begins anew
        return _megabytes("VmRSS")
    except (OSError, AttributeError):
        return None


def _megabytes(field: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024
