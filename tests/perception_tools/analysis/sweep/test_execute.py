"""From a plan to its table, with runs that are finished without training."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from scipy import stats

from perception.errors import InputError
from perception_tools.analysis.sweep import execute
from perception_tools.analysis.sweep.execute import Results, run_sweep
from perception_tools.analysis.sweep.jobs import Outcome, Shares

if TYPE_CHECKING:
    from perception_tools.analysis.sweep.plan import PlannedRun, Sweep

MakeSweep = Callable[..., "Sweep"]


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, finish: Callable[..., None]) -> Callable[..., list[str]]:
    """Finishes runs in place of their processes, or does with one what a test wants; remembers which were run."""

    def replace_jobs(sweep: Sweep, otherwise: Callable[[PlannedRun], int | None] = lambda _: None) -> list[str]:
        ran: list[str] = []

        def run_jobs(
            runs: Sequence[PlannedRun], command: Callable, _shares: Shares, ended: Callable, _lock: int, finished: int
        ) -> None:
            assert len(runs) + finished == len(sweep.runs)
            for run in runs:
                assert command(run)[1:5] == ["-m", execute.WORKER, run.cell.name, str(run.seed)]
                ran.append(run.name)
                code = otherwise(run)
                if code is None:
                    finish(sweep, run, 1.0 + run.run.recipe.to_json()["dim"] / 100 + 0.1 * run.seed**2)
                ended(Outcome(run, code or 0, 1.0))

        monkeypatch.setattr(execute, "run_jobs", run_jobs)
        return ran

    return replace_jobs


def test_the_table_holds_values_mean_and_interval_of_each_cell_and_pairs(
    make_sweep: MakeSweep, train, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = make_sweep("--over dim=8,16 --seeds 0..2")
    train(sweep)
    table = run_sweep(sweep, [], 0)
    out = sweep.options.out
    assert json.loads((out / "table.json").read_text()) == table
    assert "Sweep of forecast/vectornet over dim" in (out / "report.html").read_text()
    first = table["cells"][0]
    assert (first["name"], first["settings"]) == ("vectornet,dim=8", {"dim": 8})
    summary = first["metrics"]["k6/min_fde"]
    assert summary["values"] == pytest.approx({"0": 1.08, "1": 1.18, "2": 1.48})
    expected = stats.ttest_1samp([1.08, 1.18, 1.48], 0.0).confidence_interval(0.95)
    assert summary["interval"] == pytest.approx([expected.low, expected.high])
    paired = next(pair for pair in table["paired"] if pair["metric"] == "k6/min_fde")
    assert paired["differences"] == pytest.approx({"0": -0.08, "1": -0.08, "2": -0.08})
    assert table.keys() >= {"recipe", "over", "seeds", "metrics", "machine", "wall_seconds"}
    assert table["source"] == "argoverse1"
    assert (table["recipe"], table["over"], table["seeds"]) == ("forecast/vectornet", {"dim": [8, 16]}, [0, 1, 2])
    shown = capsys.readouterr()
    assert "6 runs: 2 cells, 3 seeds each; 1 job side by side" in shown.err.replace("jobs", "job")
    assert f"{out / 'table.json'}\n{out / 'report.html'}\n" in shown.out


def test_recipes_stand_in_the_order_that_was_asked_for(make_sweep: MakeSweep, train) -> None:
    sweep = make_sweep("--seeds 0,1", "forecast/vectornet-mlp,forecast/vectornet")
    train(sweep)
    assert list(run_sweep(sweep, [], 0)["recipes"]) == ["forecast/vectornet-mlp", "forecast/vectornet"]


def test_only_what_is_not_finished_is_run(make_sweep: MakeSweep, train, finish: Callable[..., None]) -> None:
    sweep = make_sweep()
    finish(sweep, sweep.runs[1], 9.0)
    ran = train(sweep)
    table = run_sweep(sweep, [], 0)
    assert ran == [sweep.runs[0].name, sweep.runs[2].name, sweep.runs[3].name]
    assert table["cells"][1]["metrics"]["k6/min_fde"]["values"]["0"] == 9.0
    run_sweep(sweep, [], 0)
    assert len(ran) == 3


def test_a_restart_runs_all_again(make_sweep: MakeSweep, finish: Callable[..., None]) -> None:
    sweep = make_sweep()
    finish(sweep, sweep.runs[1])
    again = make_sweep("--over dim=8,16 --seeds 0,1 --restart")
    assert len(Results(again).pending) == 4


def test_a_failed_run_is_in_the_table_with_its_reason_and_the_command_fails(make_sweep: MakeSweep, train) -> None:
    sweep = make_sweep()

    def fail(run: PlannedRun) -> int | None:
        if run.name != "vectornet,dim=16 seed 0":
            return None
        run.log.parent.mkdir(parents=True)
        run.log.write_text("Traceback\nValueError: 16 cannot be divided\n")
        return 1

    ran = train(sweep, fail)
    with pytest.raises(
        InputError, match=r"1 of 4 runs failed, the first of them vectornet,dim=16 seed 0 \(ValueError: 16 cannot be"
    ):
        run_sweep(sweep, [], 0)
    assert len(ran) == 4, "the others are run"
    table = json.loads((sweep.options.out / "table.json").read_text())
    assert table["cells"][1]["missing"] == {"0": "Traceback\nValueError: 16 cannot be divided"}
    assert list(table["paired"][0]["differences"]) == ["1"]
    assert "16 cannot be divided" in (sweep.options.out / "report.html").read_text()
    train(sweep)
    assert run_sweep(sweep, [], 0)["cells"][1]["missing"] == {}


def test_a_run_that_is_killed_says_by_which_signal(make_sweep: MakeSweep, train) -> None:
    sweep = make_sweep("--over dim=8 --seeds 0")
    train(sweep, lambda _: -9)
    with pytest.raises(InputError, match="killed by signal 9: it printed nothing"):
        run_sweep(sweep, [], 0)


def test_a_sweep_that_is_stopped_keeps_what_it_has_and_says_how_to_go_on(make_sweep: MakeSweep, train) -> None:
    sweep = make_sweep()

    def stop(run: PlannedRun) -> int | None:
        if run is sweep.runs[2]:
            raise KeyboardInterrupt
        return None

    train(sweep, stop)
    with pytest.raises(KeyboardInterrupt, match="stopped with 2 of 4 runs finished; the same command goes on"):
        run_sweep(sweep, [], 0)
    table = json.loads((sweep.options.out / "table.json").read_text())
    assert [cell["missing"] for cell in table["cells"]] == [{"1": "not run yet"}] * 2
