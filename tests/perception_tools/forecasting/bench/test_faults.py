from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from perception_tools.forecasting.bench.faults import Faults
from perception_tools.forecasting.bench.node_timing import synthetic_drive
from perception_tools.forecasting.bench.outages import run_faults


def test_a_fault_ends_the_processes_that_it_names(tmp_path: Path) -> None:
    file = tmp_path / "sleeper.py"
    file.write_text("import sys, time\nprint(flush=True)\ntime.sleep(60)\n")
    parent = (
        "import subprocess, sys\nchildren = [subprocess.Popen([sys.executable, *words.split()], stdout=subprocess.PIPE)"
    )
    parent += " for words in sys.argv[1:]]\n[child.stdout.readline() for child in children]\nprint(flush=True)\n"
    parent += "print(*[child.wait() for child in children[:1]], flush=True)\nchildren[1].kill()\nchildren[1].wait()\n"
    words = [f"{file} --name forecast", f"{file} --name spare"]
    with subprocess.Popen([sys.executable, "-c", parent, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        log = tmp_path / "log"
        log.write_text('{"node": "forecast"}\n{"node": "spare"}\n')
        faults = Faults(process.pid, log)
        assert faults.redundant()
        assert len(faults.pids("--name", "spare")) == 1
        faults.strike("node killed")
        assert process.stdout.readline() == "-9\n"
        assert not faults.redundant()
    assert faults.any() in Faults.KINDS


@pytest.mark.slow
def test_no_tick_is_without_output_while_processes_are_killed(trained_run: Path, tmp_path: Path) -> None:
    found = run_faults(trained_run, synthetic_drive(frames=20), tmp_path, minutes=0.1)
    assert found["without a standby"]["outages"]["node killed"]["ticks_without_output"] > 0
    random = found["with a standby"]["random"]
    assert random["ticks"] > 0
    assert random["without_output"] <= 2, "a machine that is busy with other things may lose some"
