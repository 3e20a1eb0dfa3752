"""A replay held against its baseline: how far they differ, tick by tick, and whether that is more than is allowed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from perception.errors import InputError
from perception_nodes.forecasting.answer import Source
from perception_tools.forecasting.streaming.baseline import COLUMNS, POSITION_UNIT_M, PROBABILITY_UNIT, Baseline

_Rows = dict[str, Int[np.ndarray, " columns"]]
_SOURCE, _REASON, _PROBABILITY = (COLUMNS.index(name) for name in ("source", "reason", "probability"))


@dataclass(frozen=True)
class Bounds:
    """How much a replay may differ from its baseline.

    Attributes:
        max_position_m: Maximum distance of an object's expected positions, and difference of their spread, in metres.
        max_probability: Maximum difference of an object's largest probability.
        max_refusals: Maximum number of objects that the model forecast then and does not now, over all ticks; a tick
            that is not answered counts with all of its objects.
        max_latency_ratio: Maximum ratio of the median latencies; None where they are only reported.
    """

    max_position_m: float
    max_probability: float
    max_refusals: int
    max_latency_ratio: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A replay beside its baseline.

    Attributes:
        then: The baseline.
        now: The replay.
        position_m: Largest difference of positions in each tick, of objects that have the same source in both.
        probability: Largest difference of probabilities in each tick.
        refused: Number of objects in each tick that the model forecast then and not now.
        gained: Number of objects in each tick that it forecasts now and did not then.
        changed: Number of objects in each tick that are there in one only, or whose source or reason is another.
        objects: Number of objects that were compared.
        farthest: The track whose positions differ most, empty where nothing was compared.
    """

    then: Baseline
    now: Baseline
    position_m: Float[np.ndarray, " ticks"]
    probability: Float[np.ndarray, " ticks"]
    refused: Int[np.ndarray, " ticks"]
    gained: Int[np.ndarray, " ticks"]
    changed: Int[np.ndarray, " ticks"]
    objects: int
    farthest: str

    @property
    def seconds(self) -> Float[np.ndarray, " ticks"]:
        """Time of each tick since the first."""
        return (self.then.stamps_ns - self.then.stamps_ns[:1]) / 1e9

    @property
    def latency_ratio(self) -> float:
        """Median latency now, by that then."""
        return self.now.latency_p50_ms / max(self.then.latency_p50_ms, 1e-9)

    def complaints(self, bounds: Bounds) -> list[str]:
        """Returns what is beyond the bounds, each as the part of a sentence."""
        found = []
        if self.now.model != self.then.model:
            found.append(f"the baseline is of the model {self.then.model}, this is {self.now.model}")
        for name, values, most, unit in (
            ("positions", self.position_m, bounds.max_position_m, " m"),
            ("probabilities", self.probability, bounds.max_probability, ""),
        ):
            if (worst := float(values.max(initial=0.0))) > most:
                at = f"{self.seconds[int(values.argmax())]:.1f} s"
                who = f", {self.farthest}" if name == "positions" else ""
                found.append(f"{name} differ by up to {worst:.3g}{unit} (at {at}{who}), allowed are {most:g}{unit}")
        if (refused := int(self.refused.sum())) > bounds.max_refusals:
            at = f"{self.seconds[int((self.refused > 0).argmax())]:.1f} s"
            found.append(
                f"the model no longer forecasts {refused} objects (first at {at}), allowed are {bounds.max_refusals}"
            )
        if bounds.max_latency_ratio is not None and self.latency_ratio > bounds.max_latency_ratio:
            found.append(
                f"the median latency is {self.now.latency_p50_ms:.1f} ms, {self.latency_ratio:.2f} times that of the "
                f"baseline, allowed are {bounds.max_latency_ratio:g} times"
            )
        return found

    def summary(self) -> dict:
        """Returns the largest differences, as JSON."""
        return {
            "baseline_model": self.then.model,
            "baseline_version": self.then.version,
            "objects": self.objects,
            "max_position_m": float(self.position_m.max(initial=0.0)),
            "max_probability": float(self.probability.max(initial=0.0)),
            "refused": int(self.refused.sum()),
            "gained": int(self.gained.sum()),
            "changed": int(self.changed.sum()),
            "latency_ratio": self.latency_ratio,
        }


def compare_baselines(then: Baseline, now: Baseline) -> Comparison:
    """Compares a replay with its baseline, tick by tick.

    Raises:
        InputError: They are of other logs, or of other ticks.
    """
    if then.log != now.log:
        raise InputError(f"baseline: expected one of the log {now.log}, found one of {then.log}; compare to its own")
    if not np.array_equal(then.stamps_ns, now.stamps_ns):
        raise InputError(
            f"baseline: expected the {len(now.stamps_ns)} ticks of this replay, found {len(then.stamps_ns)} others; "
            "replay the same log in lockstep"
        )
    ticks = [_compare_tick(*rows) for rows in zip(_by_track(then), _by_track(now), strict=True)]
    farthest = max(ticks, key=lambda tick: tick.position_m, default=None)
    return Comparison(
        then,
        now,
        position_m=np.array([tick.position_m for tick in ticks]),
        probability=np.array([tick.probability for tick in ticks]),
        refused=np.array([tick.refused for tick in ticks], dtype=np.int64),
        gained=np.array([tick.gained for tick in ticks], dtype=np.int64),
        changed=np.array([tick.changed for tick in ticks], dtype=np.int64),
        objects=sum(tick.objects for tick in ticks),
        farthest=farthest.farthest if farthest else "",
    )


@dataclass(frozen=True)
class _TickDifference:
    """As in `Comparison`, of one tick."""

    refused: int
    gained: int
    changed: int
    objects: int = 0
    position_m: float = 0.0
    probability: float = 0.0
    farthest: str = ""


def _compare_tick(before: _Rows, after: _Rows) -> _TickDifference:
    both = sorted(before.keys() & after.keys())
    old, new = (np.array([side[name] for name in both]).reshape(-1, len(COLUMNS)) for side in (before, after))
    kept = int(((old[:, _SOURCE] == Source.MODEL) & (new[:, _SOURCE] == Source.MODEL)).sum())
    other = (old[:, [_SOURCE, _REASON]] != new[:, [_SOURCE, _REASON]]).any(axis=1)
    refused, gained = _count_model(before) - kept, _count_model(after) - kept
    changed = len(before.keys() ^ after.keys()) + int(other.sum())
    same = np.flatnonzero(old[:, _SOURCE] == new[:, _SOURCE])
    if len(same) == 0:
        return _TickDifference(refused, gained, changed)
    apart = np.abs(old[same] - new[same])
    x_1, y_1, x_3, y_3, spread = apart[:, _PROBABILITY + 1 :].T
    units = np.stack([np.hypot(x_1, y_1), np.hypot(x_3, y_3), spread]).max(axis=0)
    return _TickDifference(
        refused,
        gained,
        changed,
        objects=len(same),
        position_m=float(units.max()) * POSITION_UNIT_M,
        probability=float(apart[:, _PROBABILITY].max()) * PROBABILITY_UNIT,
        farthest=both[same[units.argmax()]],
    )


def _by_track(baseline: Baseline) -> list[_Rows]:
    """Returns the rows of each tick by their tracks' ids; of a repeated id the first."""
    parts = np.split(baseline.objects, np.cumsum(baseline.counts)[:-1])
    return [{baseline.tracks[row[0]]: row for row in part[::-1]} for part in parts[: len(baseline.counts)]]


def _count_model(rows: _Rows) -> int:
    return sum(int(row[_SOURCE] == Source.MODEL) for row in rows.values())
