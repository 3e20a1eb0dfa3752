"""Activations of all records at all stages, and how well they agree with the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from perception.analysis.filtering import (
    THRESHOLDS,
    FilteringScore,
    Kind,
    filtering_score,
    frequency,
    magnitude,
    scaled,
    threshold_ious,
)
from perception.errors import InputError
from perception.metrics.bootstrap import bootstrap_interval
from perception_tools.analysis.filtering.views import TokenView, TokenViews

Place = tuple[str, Kind]
"""A stage and a kind of activation."""
NO_TARGET = "no token is of the target"
UNKNOWN_TARGET = "the target is not known"
Ious = Float[np.ndarray, "records thresholds"]


@dataclass(frozen=True)
class Example:
    """A record to be drawn.

    Attributes:
        views: A view for each model.
        activations: For each model, the activations of every stage and kind.
    """

    views: tuple[TokenView, ...]
    activations: tuple[Mapping[Place, Float[np.ndarray, " tokens"]], ...]


@dataclass
class Measured:
    """What was found over a split.

    Attributes:
        names: Name of each model.
        ious: For each model, stage and kind → IoU of each record at each threshold.
        baselines: For each model, name → the same of activations that know nothing of the record. They differ between
            models only where their tokens do.
        ids: Records with a target.
        records: Number of records looked at.
        examples: Records to be drawn.
    """

    names: Sequence[str]
    ious: list[dict[Place, list[np.ndarray]]] = field(default_factory=list)
    baselines: list[dict[str, list[np.ndarray]]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    records: int = 0
    examples: list[Example] = field(default_factory=list)

    def scores(self, model: int) -> dict[Place, FilteringScore]:
        """Score of every stage and kind of a model."""
        return {place: filtering_score(np.stack(rows)) for place, rows in self.ious[model].items()}

    def baseline_scores(self, model: int) -> dict[str, FilteringScore]:
        """Score of what knows nothing of the records."""
        return {name: filtering_score(np.stack(rows)) for name, rows in self.baselines[model].items()}

    def best_ious(self, model: int, place: Place) -> Float[np.ndarray, " records"]:
        """Highest IoU over thresholds of each record."""
        return np.stack(self.ious[model][place]).max(axis=1)


def activations_of(view: TokenView) -> dict[Place, Float[np.ndarray, " tokens"]]:
    """Activations of a view, each from 0 to 1.

    Raises:
        InputError: The model gives what is not finite, of which nothing could be said.
    """
    found: dict[Place, np.ndarray] = {}
    for stage, features in view.stages.items():
        if not np.isfinite(features).all():
            raise InputError(
                f"{view.id}: expected finite features at {stage}, got some that are not; the model may have diverged "
                "in training: look at an earlier one"
            )
        found[stage, "magnitude"] = _of_each_sort(magnitude, features, view.sorts)
        found[stage, "frequency"] = _of_each_sort(frequency, features, view.sorts)
        if view.attention is not None and stage == view.attention_stage:
            found[stage, "attention"] = _of_each_sort(np.asarray, view.attention, view.sorts)
    return found


def _of_each_sort(
    activation: Callable[[np.ndarray], np.ndarray],
    features: Float[np.ndarray, "tokens ..."],
    sorts: Int[np.ndarray, " tokens"] | None,
) -> Float[np.ndarray, " tokens"]:
    """Activations from 0 to 1 within each sort of tokens."""
    if sorts is None:
        return scaled(activation(features))
    found = np.zeros(len(features))
    for sort in np.unique(sorts):
        found[sorts == sort] = scaled(activation(features[sorts == sort]))
    return found


def measure(views: TokenViews, names: Sequence[str], drawn: int) -> Measured:
    """Looks at every record.

    Args:
        views: The records.
        names: Name of each model.
        drawn: Number of records to draw: the first ones that have a target, or the first ones where there are none.
    """
    found = Measured(names, [{} for _ in names], [{} for _ in names])
    unknown = 0
    for seen in tqdm(views.records, desc=views.noun, leave=False):
        activations = tuple(map(activations_of, seen))
        found.records += 1
        has_target = [view.target is not None and bool((view.target & view.counted).any()) for view in seen]
        knows_target = any(view.target is not None for view in seen)
        if len(found.examples) < drawn and (all(has_target) or not knows_target):
            found.examples.append(Example(seen, activations))
        if not knows_target:
            unknown += 1
            continue
        if not all(has_target):
            views.left_out[NO_TARGET] += 1
            continue
        for model, view in enumerate(seen):
            assert view.target is not None
            for place, values in activations[model].items():
                rows = found.ious[model].setdefault(place, [])
                rows.append(threshold_ious(values, view.target, view.counted))
            for name, ious in _baselines(view, len(found.ids)):
                found.baselines[model].setdefault(name, []).append(ious)
        found.ids.append(seen[0].id)
    if found.ids and unknown:
        views.left_out[UNKNOWN_TARGET] += unknown
    return found


def _baselines(view: TokenView, record: int) -> Iterator[tuple[str, Float[np.ndarray, " thresholds"]]]:
    """IoUs of what knows nothing of the record: its task's priors, chance, and everything."""
    assert view.target is not None
    for name, values in view.priors.items():
        yield name, threshold_ious(values, view.target, view.counted)
    chance = scaled(np.random.default_rng(record).random(len(view.target)))
    yield "random", threshold_ious(chance, view.target, view.counted)
    yield "everything", threshold_ious(np.ones(len(view.target)), view.target, view.counted)


def filtering_json(found: Measured, model: int) -> dict:
    """Numbers of one model, as filtering.json has them."""
    scores = found.scores(model)
    return {
        "miou": _by_stage({place: score.miou for place, score in scores.items()}),
        "interval": _by_stage({place: list(score.interval) for place, score in scores.items()}),
        "fixed_threshold": _by_stage({place: _fixed_json(score) for place, score in scores.items()}),
        "sweep": _by_stage({place: list(score.sweep) for place, score in scores.items()}),
        "baselines": {
            name: {"miou": score.miou, "interval": list(score.interval), "fixed_threshold": _fixed_json(score)}
            for name, score in found.baseline_scores(model).items()
        },
    }


def _fixed_json(score: FilteringScore) -> dict:
    return {
        "threshold": score.fixed_threshold,
        "miou": score.fixed_miou,
        "interval": list(score.fixed_interval),
    }


def _by_stage(values: Mapping[Place, object]) -> dict[str, dict[str, object]]:
    nested: dict[str, dict[str, object]] = {}
    for (stage, kind), value in values.items():
        nested.setdefault(stage, {})[kind] = value
    return nested


def paired(ours: Float[np.ndarray, " records"], theirs: Float[np.ndarray, " records"], seed: int = 0) -> dict:
    """Mean difference over the same records, with its 95 % bootstrap interval."""
    difference = ours - theirs
    (low,), (high,) = bootstrap_interval(difference[:, None], seed)
    return {"difference": float(difference.mean()), "interval": [float(low), float(high)]}


def best_place(found: Measured, model: int, stage: str | None = None) -> Place | None:
    """The stage and kind with the highest mIoU, attention apart; of one stage where that is given."""
    means = {
        place: float(found.best_ious(model, place).mean())
        for place in found.ious[model]
        if place[1] != "attention" and stage in (None, place[0])
    }
    return max(means, key=lambda place: means[place]) if means else None


def claims_json(found: Measured) -> list[dict]:
    """What the paper claims of its models, as differences of mIoU on these records, and the claim behind all of them.

    Features are magnitude or frequency, whichever has the higher mIoU on these records.
    """
    if not found.ids:
        return []
    claims: list[dict] = []

    def claim(sentence: str, ours: np.ndarray, theirs: np.ndarray) -> None:
        claims.append({"claim": sentence, **paired(ours, theirs)})

    for model, name in enumerate(found.names):
        last = best_place(found, model, "project_out")
        whole = best_place(found, model)
        assert whole is not None
        for prior in found.baselines[model]:
            if prior not in ("random", "everything"):
                theirs = np.stack(found.baselines[model][prior]).max(axis=1)
                claim(
                    f"{name}: the best features ({_words(whole)}) beat {prior}", found.best_ious(model, whole), theirs
                )
        looks = next((place for place in found.ious[model] if place[1] == "attention"), None)
        if last is not None and looks is not None:
            ours, theirs = (found.best_ious(model, place) for place in (last, looks))
            claim(f"{name}: features behind the block ({_words(last)}) beat its attention", ours, theirs)
        for stage in ("project_in", "project_out"):
            place, before = best_place(found, model, stage), best_place(found, model, "encoder")
            if place is not None and before is not None:
                ours, theirs = (found.best_ious(model, one) for one in (place, before))
                claim(f"{name}: {_words(place)} beats {_words(before)}", ours, theirs)
    for other in range(1, len(found.names)):
        mine, its = best_place(found, 0), best_place(found, other)
        assert mine is not None
        assert its is not None
        sentence = f"{found.names[0]} ({_words(mine)}) beats {found.names[other]} ({_words(its)})"
        claim(sentence, found.best_ious(0, mine), found.best_ious(other, its))
    return claims


def _words(place: Place) -> str:
    return f"{place[0]}, {place[1]}"


def threshold_of_best(ious: Float[np.ndarray, " thresholds"]) -> tuple[float, float]:
    """The highest IoU, and the first threshold that has it."""
    at = int(ious.argmax())
    return float(ious[at]), THRESHOLDS[at]
