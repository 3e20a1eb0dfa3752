"""Threads and memory of a process that computes."""

from __future__ import annotations

import ctypes

KEPT_BYTES = 256 << 20
"""Freed memory at the end of a heap stays with the process up to this size."""
LARGEST_BLOCK_BYTES = 32 << 20
"""Larger allocations come from the system one by one. glibc takes no higher bound."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Constants of malloc.h."""


def compute_with(threads: int) -> None:
    """Sets the number of PyTorch's threads, and keeps freed memory."""
    import torch

    torch.set_num_threads(threads)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Makes glibc's malloc keep freed memory instead of returning it; does nothing with other C libraries.

    The tensors of one forecast take some megabytes each. By default malloc returns most of them at once, and the next
    forecast waits for the system to hand out and clear the same pages: 23 ms became 23 to 31 ms, from run to run.
    https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, LARGEST_BLOCK_BYTES)
