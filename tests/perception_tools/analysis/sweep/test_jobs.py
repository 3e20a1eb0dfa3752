"""Processes side by side, with small ones in place of training runs."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception import files
from perception.errors import InputError
from perception.files import alone_in
from perception_tools.analysis.sweep.jobs import (
    Job,
    Outcome,
    Shares,
    available_cores,
    available_gpus,
    last_lines,
    progress_file,
    run_jobs,
    share_out,
)

if TYPE_CHECKING:
    from perception_tools.analysis.sweep.plan import PlannedRun, Sweep

MakeSweep = Callable[..., "Sweep"]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[Outcome]]:
    """Runs a program for each planned run; gives how they ended."""

    def run_programs(
        runs: Sequence[PlannedRun], program: str, shares: Shares, ended: Callable[[Outcome], None] = lambda _: None
    ) -> list[Outcome]:
        outcomes = []

        def remember(outcome: Outcome) -> str:
            outcomes.append(outcome)
            ended(outcome)
            return outcome.planned.name

        def command(planned: PlannedRun) -> list[str]:
            return [sys.executable, "-c", program, planned.cell.name, str(planned.seed), str(tmp_path)]

        with alone_in(tmp_path / "out", "a sweep") as lock:
            run_jobs(runs, command, shares, remember, lock)
        return outcomes

    return run_programs


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether a process holds a lock of the file: unlike its number, that ends with it even where nobody reaps it."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@settings(deadline=None)
@given(st.none() | st.integers(1, 9), st.integers(1, 4), st.integers(1, 64), st.integers(0, 8))
def test_cores_and_gpus_are_shared_out(wanted: int | None, devices: int, cores: int, gpus: int) -> None:
    names = [f"gpu{i}" for i in range(gpus)]
    shares = share_out(wanted, devices, cores, names)
    assert shares.jobs == wanted or (wanted is None and shares.jobs >= 1)
    assert shares.threads == 1 or shares.threads * shares.jobs * devices <= cores
    assert len(shares.gpus) == (shares.jobs if gpus else 0)
    assert all(len(seen) == min(devices, gpus) for seen in shares.gpus)
    if gpus >= shares.jobs * devices:
        used = [gpu for seen in shares.gpus for gpu in seen]
        assert len(used) == len(set(used)), "no two runs share a GPU where there are enough"
    if wanted is None:
        assert shares.jobs == max(1, (gpus if gpus else cores // 2) // devices)


def test_a_runs_environment_has_its_threads_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    shares = Shares(2, 3, (("0", "1"), ("2", "3")))
    assert shares.environment(1)["OMP_NUM_THREADS"] == "3"
    assert shares.environment(1)["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert "CUDA_VISIBLE_DEVICES" not in {**Shares(1, 1).environment(0)}.keys() - os.environ.keys()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert shares.environment(0)["OMP_NUM_THREADS"] == "7", "what the user has set stays"


def test_gpus_are_those_that_may_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    assert available_cores() >= 1
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert (available_gpus("auto"), available_gpus("gpu"), available_gpus("cpu")) == (["0", "1"], ["0", "1"], [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-abc")
    assert available_gpus("auto") == ["5", "GPU-abc"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert available_gpus("auto") == []


MEET = """
import pathlib, sys, time
name, seed, place = sys.argv[1:]
pathlib.Path(place, f"here-{name}-{seed}").touch()
while len(list(pathlib.Path(place).glob("here-*"))) < 2:
    time.sleep(0.01)
print("met")
"""


def test_runs_are_side_by_side_and_what_they_print_is_in_their_logs(
    make_sweep: MakeSweep, run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of the first two waits for the other."""
    sweep = make_sweep()
    outcomes = run(sweep.runs, MEET, Shares(2, 1))
    assert sorted(outcome.planned.name for outcome in outcomes) == sorted(planned.name for planned in sweep.runs)
    assert {outcome.code for outcome in outcomes} == {0}
    assert [planned.log.read_text() for planned in sweep.runs] == ["met\n"] * 4
    shown = capsys.readouterr().err
    assert "sweep: 100%" in shown
    assert "4.0/4 runs [" in shown
    assert all(f"{planned.name}\n" in shown for planned in sweep.runs)


ALONE = """
import pathlib, sys, time
place = pathlib.Path(sys.argv[3], "busy")
place.touch(exist_ok=False)
time.sleep(0.05)
place.unlink()
"""


def test_one_job_at_a_time_runs_one_after_another(make_sweep: MakeSweep, run) -> None:
    assert [outcome.code for outcome in run(make_sweep().runs, ALONE, Shares(1, 1))] == [0] * 4


FAIL = """
import os, signal, sys
if sys.argv[2] == "0":
    print("Epoch 1\\rEpoch 2", file=sys.stderr)
    print("RuntimeError: it broke", file=sys.stderr)
    sys.exit(3) if "dim=8" in sys.argv[1] else os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_that_fails_or_is_killed_stops_no_other(make_sweep: MakeSweep, run) -> None:
    sweep = make_sweep()
    outcomes = run(sweep.runs, FAIL, Shares(2, 1))
    codes = {outcome.planned.name: outcome.code for outcome in outcomes}
    assert [codes[planned.name] for planned in sweep.runs] == [3, -signal.SIGKILL, 0, 0]
    assert last_lines(sweep.runs[0].log) == "Epoch 2\nRuntimeError: it broke"


def test_the_last_lines_of_no_log_are_none(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "no.log") == ""


SLEEP_OR_END = """
import os, pathlib, sys, time
name, seed, place = sys.argv[1:]
if name.endswith("dim=8"):
    while not pathlib.Path(place, "pid").exists():
        time.sleep(0.01)
    sys.exit()
pathlib.Path(place, "part").write_text(str(os.getpid()))
pathlib.Path(place, "part").rename(pathlib.Path(place, "pid"))
time.sleep(600)
"""


def test_when_the_sweep_is_stopped_no_process_is_left(make_sweep: MakeSweep, run, tmp_path: Path) -> None:
    def stop(_: Outcome) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(make_sweep().runs, SLEEP_OR_END, Shares(2, 1), stop)
    assert not is_alive(int((tmp_path / "pid").read_text()))


PARENT = """
import subprocess, sys, time
place, programs = sys.argv[1], ("wait.py", "start.py")
children = [
    subprocess.Popen([sys.executable, f"{place}/{name}", place], stdin=subprocess.PIPE, start_new_session=True)
    for name in programs
]
time.sleep(600)
"""

START = """
import subprocess, sys
subprocess.run([sys.executable, f"{sys.argv[1]}/wait.py", sys.argv[1]])
"""

WAIT = """
import fcntl, os, pathlib, sys, time
from perception.processes import exit_with_parent
exit_with_parent()
held = open(f"{sys.argv[1]}/held", "w")
fcntl.flock(held, fcntl.LOCK_SH)
pathlib.Path(sys.argv[1], f"{os.getpid()}.started").touch()
time.sleep(100)
"""


def test_a_process_ends_with_the_sweep_and_so_do_those_that_it_started(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """The sweep is killed by force: nothing of its own can end the others."""
    for name, program in {"parent.py": PARENT, "start.py": START, "wait.py": WAIT}.items():
        (tmp_path / name).write_text(program)
    with subprocess.Popen([sys.executable, tmp_path / "parent.py", tmp_path]) as parent:
        try:
            eventually(lambda: len(list(tmp_path.glob("*.started"))) == 2)
            assert is_held(tmp_path / "held")
        finally:
            parent.kill()
    eventually(lambda: not is_held(tmp_path / "held"))


def test_a_process_that_is_still_at_work_holds_the_folder(
    make_sweep: MakeSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOCK_WAIT_S", 0.0)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with alone_in(tmp_path / "out", "a sweep") as lock:
        job = Job.start(make_sweep().runs[0], command, dict(os.environ), lock)
    with pytest.raises(InputError, match=r"found a sweep \(process"), alone_in(tmp_path / "out", "a sweep"):
        pass
    job.kill()
    with alone_in(tmp_path / "out", "a sweep"):
        pass


def test_the_part_that_is_done_counts_from_where_the_process_went_on(make_sweep: MakeSweep, tmp_path: Path) -> None:
    planned = make_sweep().runs[0]
    with alone_in(tmp_path / "out", "a sweep") as lock:
        job = Job.start(planned, [sys.executable, "-c", "import time; time.sleep(600)"], dict(os.environ), lock)
    try:
        assert job.part_done() == 0.0
        parts = []
        for text in ("0.5", "0.75", "", "1.0"):
            progress_file(planned).write_text(text)
            parts.append(job.part_done())
        assert parts == [0.0, 0.5, 0.0, 1.0]
    finally:
        job.kill()
    assert not progress_file(planned).exists()
