from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from perception_nodes.operations import computing

CODE = """
import resource, torch
from perception_nodes.operations.computing import compute_with

def pages(frames=20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(frames):
        tensors = [torch.ones(2**18) for _ in range(30)]  # 30 MB
        del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages()
usual = pages()
compute_with(1)
pages()
print(torch.get_num_threads(), usual, pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc is the one that is told")
def test_a_frames_memory_is_not_asked_for_again() -> None:
    gives_back = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}  # as it mostly does anyway
    command, environment = [sys.executable, "-c", CODE], {**os.environ, **gives_back}
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout
    threads, usual, kept = map(int, told.split())
    assert threads == 1
    assert usual > 20 * 1000
    assert kept < 20 * 10


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing.ctypes, "CDLL", lambda _: object())
    computing.keep_freed_memory()
