"""Nothing of a training goes on once its first process has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perception_tools.training.processes import LAUNCHER, exit_with_launcher
from perception_tools.training.run_folder import RESUME_FILE

TINY = "--dim 16 --heads 2 --batch-scenarios 2 --targets-per-scenario 3 --passes 1000000 --validate-every 1"
DEADLINE_S = 120.0


def processes_of(out: Path) -> list[int]:
    """Processes with this folder on their command line, as reading processes have too."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            is_dead = (place / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if str(out).encode() in words and not is_dead:
            found.append(int(place.name))
    return found


@contextmanager
def training(data: Path, out: Path, options: str) -> Iterator[subprocess.Popen]:
    """A run that would take for ever, once it has written a checkpoint."""
    words = f"-m perception_tools.main train forecast/vectornet {TINY} {options} --accelerator cpu --data {data}"
    with subprocess.Popen(
        [sys.executable, *words.split(), "--out", str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as run:
        try:
            deadline = time.monotonic() + DEADLINE_S
            while not (out / RESUME_FILE).exists() and run.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            assert run.poll() is None
            yield run
        finally:
            for process in processes_of(out):
                os.kill(process, signal.SIGKILL)


def assert_all_end(out: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while processes_of(out) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(out) == []


@pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes in /proc")
@pytest.mark.parametrize("options", ["--workers 2", pytest.param("--devices 2 --workers 1", marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_all_processes_end_with_the_first_one(options: str, number: int, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with training(data, out, options) as run:
        assert len(processes_of(out)) >= 3
        run.send_signal(number)
        assert_all_end(out)
        assert run.stderr is not None
        said = run.stderr.read().decode().strip()
    if number == signal.SIGTERM:
        assert run.returncode == 130
        assert (
            said.splitlines()[-1]
            == "perception train: stopped; the same command goes on from the last finished segment"
        )


CHILD = """
import os, time
from perception_tools.training.processes import exit_with_launcher
exit_with_launcher()
print(os.getpid(), flush=True)
time.sleep(600)
"""
LAUNCHING = """
import os, subprocess, sys
from perception_tools.training.processes import exit_with_launcher
exit_with_launcher()
subprocess.Popen([sys.executable, "-c", sys.argv[1]], env={**os.environ, "LOCAL_RANK": "1"}).wait()
"""


def test_a_further_process_ends_with_the_one_that_started_it_though_it_has_no_input_of_its_own() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHING, CHILD], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as launcher:
        assert launcher.stdout is not None
        assert int(launcher.stdout.readline()) != launcher.pid
        launcher.kill()
        assert launcher.stdout.read() == b"", "it ends when the child has ended, which holds it open"


def test_the_process_that_a_user_started_watches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LAUNCHER, raising=False)
    monkeypatch.setenv("LOCAL_RANK", "0")
    exit_with_launcher()
    assert os.environ[LAUNCHER] == str(os.getpid())
