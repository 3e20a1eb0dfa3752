"""The faults of `perception bench node`: what each costs, and minutes of random ones with an account of every tick."""

from __future__ import annotations

import time
from pathlib import Path

from perception.errors import InputError
from perception_nodes.forecasting.plan import ForecastPlan
from perception_nodes.operations.deployment import read_deployment
from perception_tools.forecasting.bench.faults import Faults, Planner, planner
from perception_tools.forecasting.bench.live import LOG, NODE, deployment_up, write_deployment
from perception_tools.forecasting.bench.tick_fates import outage, summary
from perception_tools.forecasting.bench.wakeups import Metronome
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.streaming.drive import Drive

READY_S = 120.0
SETTLED_TICKS = 20
"""Number of ticks in a row by the model after which a deployment is itself again."""
RECOVERY_S = 60.0
APART_S = (4.0, 8.0)
"""Time between two random faults, seconds."""
NODES = ("node killed", "standby killed")
AFTER_S = 2.0
"""Time after which an answer that has not come will not come."""


def run_faults(checkpoint: Path, drive: Drive, folder: Path, minutes: float) -> dict:
    """Measures outages with and without a standby, then random faults.

    Args:
        checkpoint: A run's folder or model file.
        drive: What the tracker sends.
        folder: Folder of the deployments' files.
        minutes: Minutes of random faults.
    """
    found: dict = {}
    for spare in (False, True):
        own = folder / ("spare" if spare else "alone")
        own.mkdir()
        kinds = ["node killed"] if not spare else ["node killed", "standby killed", *Faults.KINDS[:3]]
        name = "with a standby" if spare else "without a standby"
        found[name] = _deployment(checkpoint, drive, own, kinds, minutes if spare else 0.0, spare=spare)
    return found


def _deployment(checkpoint: Path, drive: Drive, folder: Path, kinds: list[str], minutes: float, *, spare: bool) -> dict:
    file = write_deployment(load_model(checkpoint), checkpoint, folder, workers=2, spare=spare)
    deployment = read_deployment(file)
    plan = deployment.nodes[NODE]
    assert isinstance(plan, ForecastPlan)
    begin_s = time.monotonic()
    with deployment_up(file) as process, planner(deployment.router.place, plan, drive) as one:
        if not one.wait_for(lambda: any(fate.answered_s for fate in one.fates.values()), READY_S):
            raise InputError(
                f"{folder}/processes.log: expected forecasts within {READY_S:g} s, found none; look in there"
            )
        first_s = min(fate.answered_s[0] for fate in list(one.fates.values()) if fate.answered_s) - begin_s
        _settle(one)
        found: dict = {"start_to_first_answer_s": first_s, "start_to_model_s": time.monotonic() - begin_s}
        print(f"{folder.name}: first answer of the whole deployment after {first_s:.2f} s", flush=True)
        faults = Faults(process.pid, folder / LOG)
        found["outages"] = {kind: _outage(one, faults, kind) for kind in kinds}
        if minutes > 0:
            found["random"] = _random(one, faults, minutes, plan.deadline_ms)
    return found


def _outage(one: Planner, faults: Faults, kind: str) -> dict:
    """Strikes once, and waits until the deployment is itself again."""
    before = set(one.fates)
    at_s = faults.strike(kind)
    time.sleep(1.0)
    recovered_s = _settle(one) - at_s
    time.sleep(AFTER_S)
    since = {stamp: fate for stamp, fate in list(one.fates.items()) if stamp not in before}
    settled = {stamp: fate for stamp, fate in since.items() if fate.sent_s < time.monotonic() - AFTER_S}
    found = outage(settled, at_s) | {"until_settled_s": recovered_s}
    silence_s = found["longest_silence_s"]
    print(
        f"  {kind}: {found['ticks_without_output']} ticks without output, {found['ticks_without_model']} without the "
        f"model, longest silence {silence_s:.2f} s, itself again after {recovered_s:.1f} s",
        flush=True,
    )
    return found


def _random(one: Planner, faults: Faults, minutes: float, deadline_ms: float) -> dict:
    """Strikes at random for some minutes; a node only while the other one is there."""
    before, end_s = set(one.fates), time.monotonic() + 60 * minutes
    struck: dict[str, int] = {}
    with Metronome() as metronome:
        while time.monotonic() < end_s:
            kind = faults.any()
            if kind in NODES and not one.wait_for(faults.redundant, RECOVERY_S):
                break
            faults.strike(kind)
            struck[kind] = struck.get(kind, 0) + 1
            time.sleep(APART_S[0] + (APART_S[1] - APART_S[0]) * faults.fraction())
        time.sleep(AFTER_S)
        wakeups = metronome.stop()
    now_s = time.monotonic()
    ticks = {
        stamp: fate for stamp, fate in list(one.fates.items()) if stamp not in before and fate.sent_s < now_s - AFTER_S
    }
    found = summary(ticks, deadline_ms, faults.struck, wakeups) | {"faults": struck}
    print(
        f"  {minutes:g} minutes of random faults ({', '.join(f'{count} × {kind}' for kind, count in struck.items())}): "
        f"{found['ticks']} ticks, {found['without_output']} without output, {found['by_source']}, "
        f"{found['answered_twice']} answered twice"
    )
    _print_overruns(found)
    return found


def _print_overruns(found: dict) -> None:
    """Prints how late answers without the model went out, by fault, and what of it is the machine's."""
    lines = {
        "answers that the model was too late for, after the deadline": found["overrun_ms"],
        **{f"  after: {kind}": over for kind, over in found["overrun_ms_by_fault"].items()},
        "  beyond what the machine takes to wake an idle thread": found["overrun_ms_beyond_idle_wakeup"],
        "an idle thread's delay": found["idle_wakeup_ms"],
    }
    for name, over in lines.items():
        if over["count"]:
            print(
                f"    {name}: {over['count']}, p50 {over['p50']:.1f}, p99 {over['p99']:.1f}, max {over['max']:.1f} ms"
            )
    priority = "a real-time" if found["idle_wakeup_ms"]["real_time"] else "no real-time"
    print(f"    the thread that answers has {priority} priority", flush=True)


def _settle(one: Planner) -> float:
    """Waits for ticks by the model in a row; returns when the first of them was sent."""

    def row() -> bool:
        last = list(one.fates.values())[-SETTLED_TICKS - 5 : -5]
        return len(last) == SETTLED_TICKS and all(any(s == "model" for s, _ in fate.sources) for fate in last)

    one.wait_for(row, RECOVERY_S)
    return list(one.fates.values())[-SETTLED_TICKS - 5 :][0].sent_s
