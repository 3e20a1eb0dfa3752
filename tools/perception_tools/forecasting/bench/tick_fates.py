"""The account of a deployment's ticks: who answered them and when, and how much of a delay is the machine's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from perception_tools.forecasting.bench.wakeups import Wakeups

SHORTLY_S = 1.0
"""A fault so long after a tick was sent may be why it has no output."""
RECENT_S = 8.0
"""A fault so long before a tick was sent may be why the model answered it late: a process takes seconds to restart."""
BEFORE_S = 0.05
"""So long before its deadline a tick is no longer waited for: its answer is written, and the thread wakes up twice."""


@dataclass
class TickFate:
    """What became of a tick.

    Attributes:
        sent_s: When it was sent, on the monotonic clock.
        answered_s: When each forecast of it came.
        sources: Source and node of each valid status of it.
        refusals: Reasons of its statuses that were not valid.
        late_ms: Latency of the answer that did not wait for the model any more, as its status says.
    """

    sent_s: float
    answered_s: list[float] = field(default_factory=list)
    sources: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    late_ms: float | None = None


def summary(
    fates: Mapping[int, TickFate],
    deadline_ms: float,
    struck: Sequence[tuple[float, str]] = (),
    wakeups: Wakeups | None = None,
) -> dict:
    """Returns the account of some ticks, for JSON.

    Args:
        fates: The ticks.
        deadline_ms: The node's deadline.
        struck: When each fault happened, and its kind.
        wakeups: How late the machine woke an idle thread up meanwhile; None if that was not measured.
    """
    ticks = list(fates.values())
    best = Counter("model" if any(s == "model" for s, _ in t.sources) else "fallback" for t in ticks if t.answered_s)
    first_ms = np.array([1e3 * (tick.answered_s[0] - tick.sent_s) for tick in ticks if tick.answered_s] or [np.nan])
    return {
        "ticks": len(ticks),
        "without_output": sum(not tick.answered_s for tick in ticks),
        "by_source": dict(best),
        "refusals": dict(Counter(reason for tick in ticks if not tick.answered_s for reason in _reasons(tick))),
        "unanswered": [_unanswered(tick, struck) for tick in ticks if not tick.answered_s],
        "answered_twice": sum(len(tick.answered_s) > 1 for tick in ticks),
        "output_ms": _percentiles(first_ms),
        **_overruns(ticks, deadline_ms, struck, wakeups),
    }


def _overruns(
    ticks: Sequence[TickFate], deadline_ms: float, struck: Sequence[tuple[float, str]], wakeups: Wakeups | None
) -> dict:
    """Returns how long after the deadline answers without the model went out: in all, by fault, and by whose fault.

    The machine's part of a delay is the worst wake-up of an idle thread from shortly before the deadline to the answer.
    """
    late = [(tick, tick.late_ms - deadline_ms) for tick in ticks if tick.late_ms is not None]
    by_fault: dict[str, list[float]] = {}
    for tick, over_ms in late:
        before = [kind for at_s, kind in struck if 0 <= tick.sent_s - at_s + SHORTLY_S <= RECENT_S + SHORTLY_S]
        by_fault.setdefault(before[-1] if before else "none", []).append(over_ms)
    found: dict = {
        "overrun_ms": _percentiles([over_ms for _, over_ms in late]),
        "overrun_ms_by_fault": {kind: _percentiles(over_ms) for kind, over_ms in sorted(by_fault.items())},
    }
    if wakeups is not None:
        found["idle_wakeup_ms"] = _percentiles(wakeups.late_ms) | {"real_time": wakeups.real_time}
        found["overrun_ms_beyond_idle_wakeup"] = _percentiles(
            [max(0.0, over_ms - _machines_ms(tick, over_ms, deadline_ms, wakeups)) for tick, over_ms in late]
        )
    return found


def _machines_ms(tick: TickFate, over_ms: float, deadline_ms: float, wakeups: Wakeups) -> float:
    due_s = tick.sent_s + deadline_ms / 1e3
    return wakeups.worst_ms(due_s - BEFORE_S, due_s + over_ms / 1e3)


def _unanswered(tick: TickFate, struck: Sequence[tuple[float, str]]) -> dict:
    """Returns which faults a tick without output came after, the last three first."""
    before = [(tick.sent_s - at_s, kind) for at_s, kind in struck if at_s < tick.sent_s + SHORTLY_S]
    return {
        "faults": [f"{kind} {seconds:.2f} s before" for seconds, kind in before[:-4:-1]],
        "reasons": _reasons(tick),
    }


def _reasons(tick: TickFate) -> list[str]:
    """Returns what is known of why a tick has no output."""
    lost = [f"{node}: its {source} was lost on the way" for source, node in tick.sources]
    return [*tick.refusals, *lost] or ["no status"]


def outage(fates: Mapping[int, TickFate], begin_s: float) -> dict:
    """Returns what a fault at a time cost, for JSON.

    Args:
        fates: The ticks from the fault on.
        begin_s: When it happened.
    """
    ticks = list(fates.values())
    outputs = sorted(at_s for tick in ticks for at_s in tick.answered_s if at_s >= begin_s)
    gaps = np.diff([begin_s, *outputs])
    return {
        "ticks_without_output": sum(not tick.answered_s for tick in ticks),
        "ticks_without_model": sum(not any(source == "model" for source, _ in tick.sources) for tick in ticks),
        "longest_silence_s": float(gaps.max()) if len(gaps) else None,
    }


def _percentiles(values: Sequence[float] | np.ndarray) -> dict:
    """Returns number, median, 99th percentile and largest of some values; None where there are none."""
    quantiles = np.percentile(values, [50, 99, 100]).tolist() if len(values) else [None] * 3
    return {"count": len(values), **dict(zip(("p50", "p99", "max"), quantiles, strict=True))}
