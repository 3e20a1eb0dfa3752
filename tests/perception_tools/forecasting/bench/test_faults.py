from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from perception_tools.forecasting.bench.faults import Faults, TickFate, outage, summary
from perception_tools.forecasting.bench.node_timing import synthetic_drive
from perception_tools.forecasting.bench.outages import run_faults

FATES = {
    1: TickFate(10.0, [10.03], [("model", "ego")]),
    2: TickFate(10.1, [10.182, 10.19], [("fallback", "ego"), ("model", "spare")], late_ms=81.5),
    3: TickFate(10.2, refusals=["ego: the stamp is 2 s old"]),
    4: TickFate(10.3),
    5: TickFate(10.4, sources=[("model", "ego")]),
}


def test_the_account_counts_ticks_without_output_and_says_why() -> None:
    found = summary(FATES, 80.0)
    assert (found["ticks"], found["without_output"], found["answered_twice"]) == (5, 3, 1)
    assert found["by_source"] == {"model": 2}
    lost = "ego: its model was lost on the way"
    assert found["refusals"] == {"ego: the stamp is 2 s old": 1, "no status": 1, lost: 1}
    assert found["overrun_ms"]["count"] == 1
    assert found["overrun_ms"]["p99"] == pytest.approx(1.5)
    assert found["output_ms"]["max"] == pytest.approx(82.0)


def test_each_tick_without_output_is_told_with_the_faults_before_it() -> None:
    struck = [(9.0, "node killed"), (10.25, "standby killed"), (12.0, "node killed")]
    first, second, third = summary(FATES, 80.0, struck)["unanswered"]
    assert first == {
        "faults": ["standby killed -0.05 s before", "node killed 1.20 s before"],
        "reasons": ["ego: the stamp is 2 s old"],
    }
    assert second["faults"] == ["standby killed 0.05 s before", "node killed 1.30 s before"]
    assert third["reasons"] == ["ego: its model was lost on the way"]


def test_an_outage_lasts_until_the_next_output() -> None:
    found = outage(FATES, 10.05)
    assert (found["ticks_without_output"], found["ticks_without_model"]) == (3, 2)
    assert found["longest_silence_s"] == pytest.approx(0.132)
    assert outage({}, 0.0)["longest_silence_s"] is None


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
