"""A sweep from its plan to its table: runs what is not finished, collects what is."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perception.errors import InputError
from perception_tools.analysis.sweep.jobs import (
    Outcome,
    Shares,
    available_cores,
    available_gpus,
    last_lines,
    run_jobs,
    share_out,
)
from perception_tools.analysis.sweep.plan import PlannedRun, Sweep
from perception_tools.analysis.sweep.presets import PRESETS
from perception_tools.analysis.sweep.report import write_sweep_page
from perception_tools.analysis.sweep.table import CellResults, as_plain, lookup, make_table, short_names
from perception_tools.json_files import write_json
from perception_tools.machine import describe_machine

WORKER = "perception_tools.analysis.sweep.worker"
TABLE_FILE = "table.json"
PAGE_FILE = "report.html"
NOT_RUN = "not run yet"


class Results:
    """What is known of a sweep's runs so far.

    Args:
        sweep: The sweep.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.metrics: dict[tuple[str, int], dict] = {}
        self.missing: dict[tuple[str, int], str] = {}
        for run in sweep.runs:
            self.look(run, NOT_RUN)
        if sweep.options.restart:
            self.metrics, self.missing = {}, dict.fromkeys([*self.metrics, *self.missing], NOT_RUN)

    @property
    def pending(self) -> list[PlannedRun]:
        """Runs without a result, in the order of the plan."""
        return [run for run in self.sweep.runs if (run.cell.name, run.seed) in self.missing]

    def look(self, run: PlannedRun, otherwise: str) -> dict | None:
        """Takes a run's metrics from the disk; where it is not finished, notes why."""
        key = run.cell.name, run.seed
        metrics = self.sweep.metrics(run)
        if metrics is None:
            self.missing[key] = otherwise
        else:
            self.missing.pop(key, None)
            self.metrics[key] = metrics
        return metrics

    def by_cell(self) -> list[CellResults]:
        """The results in the order of the grid."""
        return [
            CellResults(
                cell,
                {seed: found for (name, seed), found in self.metrics.items() if name == cell.name},
                {seed: reason for (name, seed), reason in self.missing.items() if name == cell.name},
            )
            for cell in self.sweep.cells
        ]


def run_sweep(sweep: Sweep, words: Sequence[str], lock: int) -> dict:
    """Runs what is not finished, and writes the table and the page.

    Args:
        sweep: The plan.
        words: Those of the command line that it was made from, for the runs' processes.
        lock: From `alone_in`.

    Returns:
        What table.json holds.

    Raises:
        InputError: Runs have failed; table and page hold the others.
        KeyboardInterrupt: It was stopped.
    """
    out, start, results = sweep.options.out, time.monotonic(), Results(sweep)
    pending, finished = results.pending, len(results.metrics)
    shares = _shares(sweep)
    _announce(sweep, finished, shares)

    def ended(outcome: Outcome) -> str:
        line = _take(results, outcome)
        write_json(out / TABLE_FILE, describe(results, shares, time.monotonic() - start))
        return line

    def command(run: PlannedRun) -> list[str]:
        return [sys.executable, "-m", WORKER, run.cell.name, str(run.seed), *words]

    try:
        run_jobs(pending, command, shares, ended, lock, finished)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped with {len(results.metrics)} of {len(sweep.runs)} runs finished; the same command goes on"
        ) from None
    table = describe(results, shares, time.monotonic() - start)
    write_json(out / TABLE_FILE, table)
    write_sweep_page(out / PAGE_FILE, table)
    print_table(table)
    print(f"{out / TABLE_FILE}\n{out / PAGE_FILE}")
    _complain(results)
    return table


def describe(results: Results, shares: Shares, seconds: float) -> dict:
    """What table.json holds."""
    sweep, preset = results.sweep, PRESETS.get(results.sweep.options.preset or "")
    table = make_table(results.by_cell(), sweep.task.monitored, sweep.seeds)
    recipes: dict[str, Any] = {}
    for run in sweep.runs:
        if run.cell.recipe not in recipes:
            recipes[run.cell.recipe] = run.description()["recipe"]
    if preset and preset.published:
        table["notes"].append(f"Pang et al. (ICLR 2024): {preset.published}")
    return {
        "recipe": ",".join(sweep.recipes),
        "preset": sweep.options.preset,
        "title": preset and f"{sweep.recipes[0]}: {preset.title}",
        "task": sweep.task.name,
        "data": str(sweep.options.data),
        "over": {name: [as_plain(value) for value in values] for name, values in sweep.over.items()},
        "seeds": list(sweep.seeds),
        **sweep.options.scoring,
        **table,
        "source": next((metrics.get("source") for metrics in results.metrics.values()), None),
        "recipes": recipes,
        "jobs": shares.jobs,
        "threads": shares.threads,
        "wall_seconds": seconds,
        "machine": describe_machine(),
    }


def print_table(table: dict) -> None:
    """Means of every cell, with half the width of their intervals, on the screen."""
    short = short_names(table)
    width = max(map(len, short.values()))
    print(f"\n{'':<{width}}  seeds " + " ".join(f"{metric:>22}" for metric in table["metrics"]))
    for cell in table["cells"]:
        summaries = cell["metrics"].values()
        seeds = max((len(summary["values"]) for summary in summaries), default=0)
        print(
            f"{short[cell['name']]:<{width}}  {seeds:>5} " + " ".join(f"{_mean(summary):>22}" for summary in summaries)
        )
    print("\n" + "\n".join(table["notes"]) + "\n")


def _mean(summary: dict) -> str:
    if summary["mean"] is None:
        return "–"
    interval = summary["interval"]
    return f"{summary['mean']:.3f}" + (f" ± {(interval[1] - interval[0]) / 2:.3f}" if interval else "")


def _shares(sweep: Sweep) -> Shares:
    run = sweep.runs[0].run
    return share_out(sweep.options.jobs, run.devices, available_cores(), available_gpus(run.accelerator))


def _announce(sweep: Sweep, finished: int, shares: Shares) -> None:
    runs = len(sweep.runs)
    text = f"{_count(runs, 'run')}: {_count(len(sweep.cells), 'cell')}, {_count(len(sweep.seeds), 'seed')} each"
    text += f"; {finished} finished before" if finished else ""
    if finished < runs:
        text += f"; {_count(shares.jobs, 'job')} side by side, {_count(shares.threads, 'thread')} each"
        text += f", {_count(len({gpu for seen in shares.gpus for gpu in seen}), 'GPU')}" if shares.gpus else ""
    print(text, file=sys.stderr)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _take(results: Results, outcome: Outcome) -> str:
    """Takes an ended run into the results; gives a line about it."""
    run = outcome.planned
    reason = last_lines(run.log) or "it printed nothing"
    reason = f"killed by signal {-outcome.code}: {reason}" if outcome.code < 0 else reason
    metrics = results.look(run, reason)
    if metrics is None:
        return f"{run.name} failed after {outcome.seconds:.0f} s: {reason.splitlines()[-1]}"
    numbers = {metric: lookup(metrics, metric) for metric in results.sweep.task.monitored}
    shown = ", ".join(f"{metric} {value:.3f}" for metric, value in numbers.items() if value is not None)
    return f"{run.name}: {shown} ({outcome.seconds:.0f} s)"


def _complain(results: Results) -> None:
    """Reports runs that have failed.

    Raises:
        InputError: There are some.
    """
    failed = results.pending
    if failed:
        first = failed[0]
        reason = results.missing[first.cell.name, first.seed].splitlines()[-1]
        logs: Path = results.sweep.options.out / "logs"
        raise InputError(
            f"{len(failed)} of {len(results.sweep.runs)} runs failed, the first of them {first.name} ({reason}); "
            f"see what they printed in {logs}, and give the same command again to continue with them"
        )
