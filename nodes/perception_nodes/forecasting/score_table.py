"""Running sums of a node's scores, by where a forecast came from and what kind of object it was about.

Memory does not depend on how long the node runs. The sums go to JSON, to `/diagnostics` and to Prometheus.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from perception.traffic.scenario import STEP_S, AgentKind
from perception_nodes.forecasting.answer import Source
from perception_nodes.operations.diagnostics import Level, Status

HORIZONS_S = (1, 2, 3)
STEPS_PER_S = round(1 / STEP_S)
SCORES = ("ade", "fde", "miss_rate", "min_ade", "min_fde", "min_miss_rate")
"""Scores of an object: of its most likely mode, and the smallest over its modes. Misses are above 2 m."""
BINS = 10
"""Number of ranges of probability in which promised and observed rates are compared."""
HALF_LIFE_S = 60.0
"""Scores in the diagnostics are those of about the last minutes: an observation counts half after this time."""
LEAST_SCORED = 100
"""Number of recent scores below which the diagnostics judge nothing."""
WARN_MISS_RATE = 0.5
"""The model's recent miss rate at 3 s above which the diagnostics warn, over all its kinds of objects."""
WARN_UNSCORED = 0.5
"""Share of recent objects without truth at 3 s above which the diagnostics warn: the tracker's ids do not last."""

_GROUPS = len(Source) * len(AgentKind)
_ALL_GROUPS = np.arange(_GROUPS)[:, None]
_COUNT, _UNSCORED = len(SCORES), len(SCORES) + 1


def group_of(sources: Int[np.ndarray, " objects"], kinds: Int[np.ndarray, " objects"]) -> Int[np.ndarray, " objects"]:
    """Returns the row of each object in the table; a kind that does not exist counts as UNKNOWN."""
    known = (kinds >= 0) & (kinds < len(AgentKind))
    return sources * len(AgentKind) + np.where(known, kinds, AgentKind.UNKNOWN)


class ScoreTable(Collector):
    """Sums of scores; a row a group of objects (`group_of`).

    Args:
        name: Name of the node in the diagnostics.

    Attributes:
        interruptions: Number of times that the clock was set or the stream paused, so that nothing could be compared.
        not_followed: Number of objects that were not compared: beyond the limits, or a repeated id.
    """

    def __init__(self, name: str = "forecast") -> None:
        self._name = name
        self.interruptions = 0
        self.not_followed = 0
        self._scores = np.zeros((len(HORIZONS_S), _GROUPS, len(SCORES) + 2))
        self._recent = np.zeros_like(self._scores)
        self._changes = np.zeros((_GROUPS, 3))
        self._probabilities = np.zeros((_GROUPS, 4))
        self._bins = np.zeros((len(Source), BINS, 3))
        self._stamp_ns: int | None = None

    def add_scores(
        self, horizon: int, groups: Int[np.ndarray, " objects"], scores: Float[np.ndarray, "objects columns"]
    ) -> None:
        """Adds scores of objects at a horizon; columns as in `SCORES`."""
        sums = _by_group(groups, scores)
        self._scores[horizon, :, :_UNSCORED] += sums
        self._recent[horizon, :, :_UNSCORED] += sums

    def add_unscored(self, horizon: int, groups: Int[np.ndarray, " objects"]) -> None:
        """Counts objects whose truth at a horizon is not known."""
        if len(groups):
            counts = np.bincount(groups, minlength=_GROUPS)
            self._scores[horizon, :, _UNSCORED] += counts
            self._recent[horizon, :, _UNSCORED] += counts

    def add_probabilities(
        self,
        groups: Int[np.ndarray, " objects"],
        probabilities: Float[np.ndarray, "objects modes"],
        nearest: Int[np.ndarray, " objects"],
    ) -> None:
        """Adds the probabilities of objects with several modes, and which mode was nearest to the truth."""
        if len(groups) == 0:
            return
        hit = np.arange(probabilities.shape[1]) == nearest[:, None]
        brier = np.square(probabilities - hit).sum(axis=1)
        likeliest = probabilities.max(axis=1)
        right = probabilities.argmax(axis=1) == nearest
        self._probabilities += _by_group(groups, np.stack([likeliest, right, brier], axis=1))
        sources = np.repeat(groups // len(AgentKind), probabilities.shape[1])
        cells = sources * BINS + np.minimum(BINS * probabilities, BINS - 1).astype(np.int64).ravel()
        columns = (probabilities.ravel(), hit.ravel().astype(np.float64), np.ones(hit.size))
        sums = [np.bincount(cells, column, minlength=len(Source) * BINS) for column in columns]
        self._bins += np.stack(sums, axis=1).reshape(self._bins.shape)

    def add_changes(self, groups: Int[np.ndarray, " objects"], metres: Float[np.ndarray, "objects 2"]) -> None:
        """Adds how far successive forecasts are apart: most likely, and best matching."""
        self._changes += _by_group(groups, metres)

    def observed(self, stamp_ns: int) -> None:
        """Lets recent scores fade until the stamp of a tick."""
        if self._stamp_ns is not None and stamp_ns > self._stamp_ns:
            self._recent *= 0.5 ** ((stamp_ns - self._stamp_ns) / 1e9 / HALF_LIFE_S)
        self._stamp_ns = stamp_ns

    def summary(self) -> dict:
        """Returns the means as JSON: over all objects, by source and within it by kind, and by kind."""
        rows = np.arange(_GROUPS)
        by_source = {}
        for source in Source:
            of_source = rows // len(AgentKind) == source
            kinds = {k.name.lower(): of_source & (rows % len(AgentKind) == k) for k in AgentKind}
            means = self._means(of_source) | {"by_kind": {n: self._means(r) for n, r in kinds.items() if self._any(r)}}
            if self._bins[source].any():
                means["calibration"] = self._calibration(source)
            if self._any(of_source):
                by_source[source.name.lower()] = means
        by_kind = {kind.name.lower(): rows % len(AgentKind) == kind for kind in AgentKind}
        return {
            "all": self._means(rows >= 0),
            "by_source": by_source,
            "by_kind": {name: self._means(chosen) for name, chosen in by_kind.items() if self._any(chosen)},
            "interruptions": self.interruptions,
            "not_followed": self.not_followed,
        }

    def statuses(self) -> list[Status]:
        """Returns a status of each source: its recent scores, and a warning where they are beyond the constants."""
        statuses = []
        for source in Source:
            sums = self._recent[-1].reshape(len(Source), len(AgentKind), -1)[source].sum(axis=0)
            scored, total = sums[_COUNT], sums[_COUNT] + sums[_UNSCORED]
            means = dict(zip(SCORES, (sums[:_COUNT] / max(scored, 1.0)).tolist(), strict=True))
            values = {"objects": float(scored), "unscored": float(sums[_UNSCORED])} | (means if scored >= 1 else {})
            level, message = Level.OK, "OK" if scored >= 1 else "nothing compared yet"
            if total >= LEAST_SCORED and sums[_UNSCORED] > WARN_UNSCORED * total:
                level, message = Level.WARN, f"no truth for {sums[_UNSCORED] / total:.0%} of the objects after 3 s"
            if source == Source.MODEL and scored >= LEAST_SCORED and means["miss_rate"] > WARN_MISS_RATE:
                level, message = Level.WARN, f"{means['miss_rate']:.0%} of the objects are missed by 2 m after 3 s"
            name = source.name.lower().replace("_", " ")
            statuses.append(Status(level, f"{self._name}: accuracy, {name}", message, values))
        return statuses

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yields the sums: Prometheus divides their rates, which gives the means of any time."""
        labels = ["source", "kind", "horizon"]
        counted = {
            "objects": ("Forecasts of objects that were compared with the truth", _COUNT),
            "unscored": ("Forecasts of objects whose truth is not known", _UNSCORED),
            "displacement_metres": ("Sum of the most likely modes' mean distances to the truth", 0),
            "end_displacement_metres": ("Sum of the most likely modes' distances to the truth at the horizon", 1),
            "misses": ("Most likely modes that end above 2 m from the truth", 2),
            "best_end_displacement_metres": ("Sum of the nearest modes' distances to the truth at the horizon", 4),
            "best_misses": ("Objects of which no mode ends within 2 m of the truth", 5),
        }
        scores = self._scores.copy()  # the node's thread goes on adding
        for name, (text, column) in counted.items():
            family = CounterMetricFamily(f"perception_self_score_{name}", text, labels=labels)
            for source, kind in product(Source, AgentKind):
                for horizon, sums in zip(HORIZONS_S, scores[:, source * len(AgentKind) + kind], strict=True):
                    if sums[_COUNT] + sums[_UNSCORED]:
                        family.add_metric([source.name.lower(), kind.name.lower(), f"{horizon}s"], sums[column])
            yield family
        recent = GaugeMetricFamily(
            "perception_self_score_recent_miss_ratio", "Miss rate of about the last minutes at 3 s", labels=labels[:1]
        )
        for source, sums in zip(Source, self._recent[-1].copy().reshape(len(Source), len(AgentKind), -1), strict=True):
            if (scored := sums[:, _COUNT].sum()) >= 1:
                recent.add_metric([source.name.lower()], sums[:, 2].sum() / scored)
        yield recent

    def _any(self, chosen: Bool[np.ndarray, " groups"]) -> bool:
        return bool(self._scores[:, chosen][..., _COUNT:].any() or self._changes[chosen].any())

    def _means(self, chosen: Bool[np.ndarray, " groups"]) -> dict:
        """Returns the means over some groups, those of no object left out."""
        means: dict = {}
        for horizon, sums in zip(HORIZONS_S, self._scores[:, chosen].sum(axis=1), strict=True):
            count = sums[_COUNT]
            scores = dict(zip(SCORES, (sums[:_COUNT] / count).tolist(), strict=True)) if count else {}
            means[f"{horizon}s"] = {"objects": int(count), "unscored": int(sums[_UNSCORED])} | scores
        changes = self._changes[chosen].sum(axis=0)
        if changes[2]:
            likeliest, matching = (changes[:2] / changes[2]).tolist()
            means["change_m"] = {"objects": int(changes[2]), "most_likely": likeliest, "best_matching": matching}
        expected, observed, brier, count = self._probabilities[chosen].sum(axis=0).tolist()
        if count:
            promise = {"expected": expected / count, "observed": observed / count, "brier": brier / count}
            means["most_likely_is_nearest"] = {"objects": int(count)} | promise
        return means

    def _calibration(self, source: Source) -> dict:
        """Returns promised and observed rates of modes being the nearest, by ranges of their probability."""
        expected, observed, count = self._bins[source].T
        some = np.flatnonzero(count)
        return {
            "error": float(np.abs(expected - observed).sum() / count.sum()),
            "bins": [
                {"expected": expected[i] / count[i], "observed": observed[i] / count[i], "modes": int(count[i])}
                for i in some.tolist()
            ],
        }


def _by_group(
    groups: Int[np.ndarray, " objects"], columns: Float[np.ndarray, "objects columns"]
) -> Float[np.ndarray, "groups sums"]:
    """Returns the sum of each group's rows, and in a last column their number."""
    member = (_ALL_GROUPS == groups).astype(np.float64)
    sums = np.empty((_GROUPS, columns.shape[1] + 1))
    np.matmul(member, columns, out=sums[:, :-1])
    sums[:, -1] = member.sum(axis=1)
    return sums
