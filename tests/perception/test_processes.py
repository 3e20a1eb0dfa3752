from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from perception.processes import stopped_by_sigterm

PARENT = """
import multiprocessing, pathlib, sys, time
from child import work
if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[2]).Process(target=work, args=(sys.argv[1],))
    process.start()
    time.sleep(600)
"""
CHILD = """
import os, pathlib, time
from perception.processes import exit_with_parent

def work(folder):
    exit_with_parent()
    pathlib.Path(folder, "started").touch()
    while True:
        pathlib.Path(folder, "beat").touch()
        time.sleep(0.02)
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_process_of_multiprocessing_ends_with_a_parent_that_is_killed(
    tmp_path: Path, method: str, eventually: Callable[..., None]
) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "child.py").write_text(CHILD)
    beat = tmp_path / "beat"
    with subprocess.Popen([sys.executable, tmp_path / "parent.py", tmp_path, method]) as parent:
        try:
            eventually(lambda: beat.exists(), 30)
        finally:
            parent.kill()
    eventually(lambda: time.time() - beat.stat().st_mtime > 1, 30)


def test_sigterm_stops_like_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopped_by_sigterm(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
