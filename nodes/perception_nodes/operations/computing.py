"""How a node's process computes: with how many threads, and in memory that it keeps."""

from __future__ import annotations

import ctypes

import torch

KEPT_BYTES = 256 << 20
"""Freed memory at the end of a heap up to here stays with the process."""
LARGEST_BLOCK_BYTES = 32 << 20
"""Larger blocks come from the system one by one; glibc takes no higher bound."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""malloc.h"""


def compute_with(threads: int) -> None:
    """Sets PyTorch's threads, and has what a frame gives back kept for the next one."""
    torch.set_num_threads(threads)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Has glibc's malloc keep what is freed instead of giving it back to the system; nothing with other C libraries.

    A frame's tensors are some megabytes each. By default malloc gives most of them back at once, and every frame then
    waits for the system to hand out and clear the same pages again: 23 ms a frame became 23 to 31, from run to run.
    https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, LARGEST_BLOCK_BYTES)
