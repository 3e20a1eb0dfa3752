"""What a report is written from: one `Evaluation` a model, with a few `Example`s to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from perception.metrics.forecasting import METRICS, ForecastTable, ScoredAgents
from perception.metrics.manoeuvre import MANOEUVRES
from perception.traffic.scenario import AgentKind, Forecast, Scenario


@dataclass(frozen=True)
class Example:
    """One forecast to look at.

    Attributes:
        scenario: With its future.
        forecast: Holds the focal agent; other agents' forecasts are not drawn.
        scores: Scores of the focal agent's six most probable modes, by the names of `METRICS`; `miss_rate` is 0 or 1.
        label: Why it was chosen: `best`, `median`, `worst`, a manoeuvre, or a place among the worst: `worst 3`.
        manoeuvre: What the focal agent did.
    """

    scenario: Scenario
    forecast: Forecast
    scores: dict[str, float]
    label: str
    manoeuvre: str

    @property
    def record(self) -> str:
        """Ids of scenario and focal agent, by which `records.parquet` names the forecast."""
        return f"scenario {self.scenario.id}, agent {self.scenario.agents.ids[self.scenario.focal]}"

    @property
    def caption(self) -> str:
        """The ids, what the agent is, and what it did."""
        kind = AgentKind(self.scenario.agents.kinds[self.scenario.focal]).name.lower().replace("_", " ")
        return f"{self.record} · {kind}, {self.manoeuvre}"


@dataclass(frozen=True)
class BlockProvenance:
    """Which frozen block a model ran.

    Attributes:
        source: The URI that it was loaded from.
        fingerprint: Hash of its weights.
        words: Which model it is from, in which precision.
    """

    source: str
    fingerprint: str
    words: str


@dataclass(frozen=True)
class Evaluation:
    """One model on one split, with all that a reader needs to judge the numbers.

    Attributes:
        name: As it heads a table column, e.g. `vectornet-llama`.
        recipe: The run's recipe with all its numbers; its `seed` is shown beside the scores.
        metrics: `ForecastTable.as_json()`.
        curves: (step, value) points by name. The part after the last `/` names the panel, the part before it the line:
            `train/loss` and `val/loss` share one panel.
        examples: From `choose_examples`.
        worst: From `choose_worst`.
        seconds_per_scene: Time of a scene's whole forecast; None where it was not measured.
        parameters: How many are trainable, and how many frozen.
        block: None where the model has no block.
        view: From where polylines are seen (`perception.encoders.vectornet.views`).
        system: Name of what it is one training of; models of a system differ in their seed alone. Its own name where
            that is empty.
    """

    name: str
    recipe: dict
    metrics: dict
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    worst: list[Example] = field(default_factory=list)
    seconds_per_scene: float | None = None
    parameters: tuple[int, int] = (0, 0)
    block: BlockProvenance | None = None
    view: str = "agent"
    system: str = ""

    @property
    def trained(self) -> bool:
        """Whether it has anything to learn; constant velocity has not."""
        return self.parameters[0] > 0


def choose_examples(table: ForecastTable, recall: Callable[[str], tuple[Scenario, Forecast]]) -> list[Example]:
    """A fair handful of forecasts: best, median and worst, then for each manoeuvre a typical and a hard one.

    Ordered by the focal agent's minFDE of six modes. *Best* is taken among agents that move, since a parked car is
    everybody's best forecast; *typical* is the manoeuvre's median, *hard* its 90th percentile. No scene comes twice.

    Args:
        table: After the whole split was added.
        recall: Gives a scenario and its forecast again by the scenario's id, e.g. `forecasts.__getitem__` of a
            dictionary, or a function that reads and forecasts anew where a split is too large to keep.
    """
    rows = table.rows()
    min_fde = rows.k6[:, METRICS.index("min_fde")]
    focal = np.flatnonzero(rows.focal)
    ranked = focal[np.argsort(min_fde[focal], kind="stable")]
    labels = np.array(rows.manoeuvres)
    moving = ranked[labels[ranked] != "stationary"]
    chosen: dict[int, str] = {}
    for label, candidates, quantile in [
        ("best", moving if len(moving) else ranked, 0.0),
        ("median", ranked, 0.5),
        ("worst", ranked, 1.0),
        *((name, ranked[labels[ranked] == name], q) for name in MANOEUVRES for q in (0.5, 0.9)),
    ]:
        left = [row for row in candidates if row not in chosen]
        if left:
            chosen[int(left[round(quantile * (len(left) - 1))])] = label
    return [_example(rows, row, label, recall) for row, label in chosen.items()]


def choose_worst(table: ForecastTable, recall: Callable[[str], tuple[Scenario, Forecast]], count: int) -> list[Example]:
    """The forecasts with the largest minFDE of six modes, the worst first.

    Args:
        table: After the whole split was added.
        recall: As for `choose_examples`.
        count: Number of forecasts; all, where there are fewer.
    """
    rows = table.rows()
    focal = np.flatnonzero(rows.focal)
    ranked = focal[np.argsort(-rows.k6[focal, METRICS.index("min_fde")], kind="stable")]
    return [_example(rows, row, f"worst {place}", recall) for place, row in enumerate(ranked[:count].tolist(), 1)]


def _example(rows: ScoredAgents, row: int, label: str, recall: Callable[[str], tuple[Scenario, Forecast]]) -> Example:
    scenario, forecast = recall(rows.scenarios[row])
    scores = dict(zip(METRICS, rows.k6[row].tolist(), strict=True))
    return Example(scenario, forecast, scores, label, rows.manoeuvres[row])
