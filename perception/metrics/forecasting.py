"""Forecasting metrics, bit-equal to those of av2 and argoverse-api, and their table over a data set.

The benchmarks agree except on minADE: argoverse-api, HiVT and QCNet take the ADE of the mode whose *endpoint*
is best, the Forecast-MAE family takes the *minimum* ADE over the modes. Both are reported by name; they must
not be compared with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.errors import InputError
from perception.metrics.bootstrap import bootstrap_interval
from perception.metrics.calibration import Calibration
from perception.metrics.circumstances import DISTANCES, HISTORIES, distance_of, history_of
from perception.metrics.limits import MISS_RADIUS_M
from perception.metrics.manoeuvre import MANOEUVRES, manoeuvre_of
from perception.metrics.worlds import WorldScores, mean_scores, nearest_mode, score_worlds, worlds_of
from perception.traffic.scenario import AgentKind, Forecast, Scenario

LOW_PROBABILITY = 0.05
"""argoverse-api caps the penalty -ln p of the p-metrics at this probability."""

PROBABILITY_SUM_TOLERANCE = 1e-3
"""A float32 softmax sums to one within 1e-6; a larger deviation than this means missing normalisation."""


@dataclass(frozen=True)
class ForecastScores:
    """Scores of each agent, in metres unless stated otherwise. The *best mode* has the smallest endpoint error.

    Attributes:
        min_ade: Smallest ADE over the modes (Forecast-MAE's rule).
        min_ade_endpoint: ADE of the best mode (argoverse-api's rule).
        min_fde: Endpoint error of the best mode.
        miss: Whether `min_fde` exceeds 2.0 m.
        brier_min_fde: `min_fde` + (1 - p)² with p the best mode's probability; adds metres and a dimensionless number,
            as the Argoverse 2 leaderboard does.
        p_min_ade: `min_ade_endpoint` + min(-ln p, -ln 0.05), as argoverse-api.
        p_min_fde: `min_fde` + min(-ln p, -ln 0.05), as argoverse-api.
    """

    min_ade: Float[np.ndarray, " agents"]
    min_ade_endpoint: Float[np.ndarray, " agents"]
    min_fde: Float[np.ndarray, " agents"]
    miss: Bool[np.ndarray, " agents"]
    brier_min_fde: Float[np.ndarray, " agents"]
    p_min_ade: Float[np.ndarray, " agents"]
    p_min_fde: Float[np.ndarray, " agents"]


def score_forecast(
    trajectories: Float[np.ndarray, "agents modes steps 2"],
    probabilities: Float[np.ndarray, "agents modes"],
    truth: Float[np.ndarray, "agents steps 2"],
    k: int,
) -> ForecastScores:
    """Scores every agent's k most probable modes against the true future.

    Modes are sorted by probability (stable: the earlier of two equally probable modes stays first), the first k are
    kept and their probabilities renormalised, as argoverse-api does. A forecast of fewer than k modes is scored with
    all of its modes, so that the k = 6 score of a one-mode forecaster is its k = 1 score.

    Raises:
        InputError: k is below one, a trajectory or the truth is not finite, or probabilities do not sum to one.
    """
    if k < 1:
        raise InputError(f"scoring keeps the k most probable modes: expected k of at least 1, got {k}")
    check_forecast(trajectories, probabilities, truth, [f"agent row {row}" for row in range(len(trajectories))])
    trajectories, probabilities = trajectories.astype(np.float64), probabilities.astype(np.float64)

    by_probability = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    kept = np.take_along_axis(trajectories, by_probability[:, :, None, None], axis=1)
    probability = np.take_along_axis(probabilities, by_probability, axis=1)
    probability = probability / probability.sum(axis=1, keepdims=True)

    distance = np.linalg.norm(kept - truth[:, None], axis=-1)
    ade, fde = distance.mean(axis=-1), distance[..., -1]
    agent, best = np.arange(len(fde)), fde.argmin(axis=1)
    best_ade, min_fde, p = ade[agent, best], fde[agent, best], probability[agent, best]
    penalty = -np.log(np.maximum(p, LOW_PROBABILITY))
    return ForecastScores(
        min_ade=ade.min(axis=1),
        min_ade_endpoint=best_ade,
        min_fde=min_fde,
        miss=min_fde > MISS_RADIUS_M,
        brier_min_fde=min_fde + np.square(1 - p),
        p_min_ade=best_ade + penalty,
        p_min_fde=min_fde + penalty,
    )


def check_forecast(
    trajectories: Float[np.ndarray, "agents modes steps 2"],
    probabilities: Float[np.ndarray, "agents modes"],
    truth: Float[np.ndarray, "agents other_steps 2"],
    names: Sequence[str],
) -> None:
    """Refuses a forecast that cannot be scored; the error names the first such agent.

    Args:
        trajectories: Predicted modes, metres.
        probabilities: Probabilities of the modes.
        truth: True future of the same steps, metres.
        names: Names of the agents for the error message.

    Raises:
        InputError: The horizons differ, a number is not finite, or the probabilities are not a distribution.
    """
    if trajectories.shape[1] == 0 or truth.shape[1] == 0 or trajectories.shape[2] != truth.shape[1]:
        raise InputError(
            f"{names[0] if names else 'forecast'}: expected at least one mode of {truth.shape[1]} steps, as the truth "
            f"has, got {trajectories.shape[1]} modes of {trajectories.shape[2]} steps; train and evaluate on the same "
            "data set (Argoverse 1 has 30 future steps, Argoverse 2 has 60)"
        )
    finite = np.isfinite(trajectories).all(axis=(1, 2, 3)) & np.isfinite(truth).all(axis=(1, 2))
    if not finite.all():
        raise InputError(
            f"{names[int(finite.argmin())]}: expected finite positions, got NaN or infinity; "
            "the model has diverged, or the scenario's future is broken"
        )
    total = probabilities.sum(axis=1)
    normal = (probabilities >= 0).all(axis=1) & (np.abs(total - 1) <= PROBABILITY_SUM_TOLERANCE)
    if not normal.all():
        row = int(normal.argmin())
        raise InputError(
            f"{names[row]}: expected probabilities of at least 0 that sum to 1 over the modes, "
            f"got {probabilities[row].tolist()} with sum {total[row]:.4g}; apply a softmax to the logits"
        )


METRICS: tuple[str, ...] = (
    "min_ade",
    "min_ade_endpoint",
    "min_fde",
    "miss_rate",
    "brier_min_fde",
    "p_min_ade",
    "p_min_fde",
)
"""Names of the columns of `ScoredAgents.k1` and `.k6`, in order: the fields of `ForecastScores`, misses as 0 and 1."""


@dataclass(frozen=True)
class ScoredAgents:
    """Scores with one row per scored agent.

    Attributes:
        scenarios: Id of each agent's scenario.
        agents: Index of the agent within its scenario.
        focal: Whether it is the scenario's focal agent.
        kinds: `AgentKind` values.
        manoeuvres: Manoeuvre in the true future, one of `MANOEUVRES`.
        k1: Scores of the most probable mode; columns as in `METRICS`.
        k6: Scores of the six most probable modes.
        distances: How far each agent is from the recording vehicle, one of `DISTANCES`.
        histories: For how long it has been observed, one of `HISTORIES`.
    """

    scenarios: tuple[str, ...]
    agents: Int[np.ndarray, " rows"]
    focal: Bool[np.ndarray, " rows"]
    kinds: Int[np.ndarray, " rows"]
    manoeuvres: tuple[str, ...]
    k1: Float[np.ndarray, "rows metrics"]
    k6: Float[np.ndarray, "rows metrics"]
    distances: tuple[str, ...] = ()
    histories: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.agents)

    @classmethod
    def concatenate(cls, parts: Sequence[ScoredAgents]) -> ScoredAgents:
        """Concatenates the rows of several tables."""
        return cls(
            scenarios=tuple(scenario for part in parts for scenario in part.scenarios),
            agents=np.concatenate([part.agents for part in parts]),
            focal=np.concatenate([part.focal for part in parts]),
            kinds=np.concatenate([part.kinds for part in parts]),
            manoeuvres=tuple(label for part in parts for label in part.manoeuvres),
            k1=np.concatenate([part.k1 for part in parts]),
            k6=np.concatenate([part.k6 for part in parts]),
            distances=tuple(label for part in parts for label in part.distances),
            histories=tuple(label for part in parts for label in part.histories),
        )


@dataclass
class ForecastTable:
    """Collects scores scenario by scenario and summarises a whole split.

    Attributes:
        seed: Seed of the bootstrap intervals.
        scenarios: Number of scenarios added.
        incomplete: Number of agents to be scored whose future has gaps; they are counted but not scored.
        incomplete_focal: Number of focal agents among them.
        worlds: Scores of the six most probable worlds of each scenario with a scored agent.
        calibration: Calibration of the six most probable modes of every scored agent.
    """

    seed: int = 0
    scenarios: int = 0
    incomplete: int = 0
    incomplete_focal: int = 0
    worlds: list[WorldScores] = field(default_factory=list)
    calibration: Calibration = field(default_factory=Calibration, compare=False)
    _parts: list[ScoredAgents] = field(default_factory=list)

    def add(self, scenario: Scenario, forecast: Forecast) -> ScoredAgents | None:
        """Scores the focal agent and every scored agent of one scenario whose future is complete.

        Returns:
            Their scores; None where no agent could be scored.

        Raises:
            InputError: The forecast lacks a scored agent, or `check_forecast` refuses it. Nothing is added then.
        """
        scored = scenario.agents.scored.copy()
        scored[scenario.focal] = True
        complete = scored & scenario.has_complete_future
        part = _score_agents(scenario, forecast, np.flatnonzero(complete)) if complete.any() else None
        self.scenarios += 1
        self.incomplete += int((scored & ~complete).sum())
        self.incomplete_focal += int(not complete[scenario.focal])
        if part is not None:
            self._parts.append(part)
            self._add_worlds(scenario, forecast, part)
        return part

    def _add_worlds(self, scenario: Scenario, forecast: Forecast, part: ScoredAgents) -> None:
        """Scores the scenario's agents together, and counts what became of their modes' probabilities."""
        row_of = {int(agent): row for row, agent in enumerate(forecast.agents)}
        rows = [row_of[agent] for agent in part.agents.tolist()]
        modes, chances = forecast.trajectories[rows], forecast.probabilities[rows].astype(np.float64)
        truth = scenario.agents.position[part.agents, scenario.history_steps :]
        kept = np.argsort(-chances, axis=1, kind="stable")[:, :6]
        chosen = np.take_along_axis(chances, kept, axis=1)
        self.calibration.add(
            chosen / chosen.sum(axis=1, keepdims=True),
            nearest_mode(np.take_along_axis(modes, kept[:, :, None, None], axis=1), truth),
        )
        leader = int(part.focal.argmax())  # the first where the focal agent is not among them
        self.worlds.append(score_worlds(*worlds_of(modes, chances, leader, 6), truth))

    def rows(self) -> ScoredAgents:
        """Returns the scores of all agents so far.

        Raises:
            InputError: No focal agent was scored, so there is nothing to report.
        """
        if not any(part.focal.any() for part in self._parts):
            raise InputError(
                f"no focal agent with a complete future in {self.scenarios} scenarios: expected a split with labels; "
                "evaluate on val (test splits hold no future)"
            )
        return ScoredAgents.concatenate(self._parts)

    def as_json(self) -> dict:
        """Returns the contents of `metrics.json`: means over focal agents, and over all scored agents below them.

        `by_kind`, `by_distance` and `by_history` cover all scored agents, `by_manoeuvre` the focal agents, `worlds` all
        of a scenario together (`perception.metrics.worlds`), `calibration` their probabilities; `interval` holds the
        95 % bootstrap intervals of the means over focal agents.
        """
        rows = self.rows()
        kinds = [AgentKind(kind) for kind in np.unique(rows.kinds)]
        labels = np.array(rows.manoeuvres)
        return {
            "scenarios": self.scenarios,
            "agents": len(rows),
            "incomplete": self.incomplete,
            "incomplete_focal": self.incomplete_focal,
            "k1": _means(rows.k1[rows.focal]) | {"all_agents": _means(rows.k1)},
            "k6": _means(rows.k6[rows.focal]) | {"all_agents": _means(rows.k6)},
            "by_kind": {kind.name.lower(): _group(rows, rows.kinds == kind) for kind in kinds},
            "by_manoeuvre": {
                label: _group(rows, rows.focal & (labels == label))
                for label in MANOEUVRES
                if (rows.focal & (labels == label)).any()
            },
            "by_distance": _by_label(rows, rows.distances, DISTANCES),
            "by_history": _by_label(rows, rows.histories, HISTORIES),
            "worlds": mean_scores(self.worlds) | {"scenarios": len(self.worlds)},
            "calibration": self.calibration.as_json(),
            "interval": {
                "level": 0.95,
                "seed": self.seed,
                "k1": _intervals(rows.k1[rows.focal], self.seed),
                "k6": _intervals(rows.k6[rows.focal], self.seed),
            },
        }


def _score_agents(scenario: Scenario, forecast: Forecast, scored: Int[np.ndarray, " scored"]) -> ScoredAgents:
    """Scores the given agents of one scenario."""
    tracks = scenario.agents
    row_of = {int(agent): row for row, agent in enumerate(forecast.agents)}
    names = [f"scenario {scenario.id}, agent {tracks.ids[agent]}" for agent in scored]
    for agent, name in zip(scored, names, strict=True):
        if agent not in row_of:
            raise InputError(
                f"{name}: expected a forecast, got none; forecast every agent marked `scored` and the focal one"
            )
    rows = [row_of[int(agent)] for agent in scored]
    trajectories, probabilities = forecast.trajectories[rows], forecast.probabilities[rows]
    truth = tracks.position[scored, scenario.history_steps :]
    check_forecast(trajectories, probabilities, truth, names)
    return ScoredAgents(
        scenarios=(scenario.id,) * len(scored),
        agents=scored,
        focal=scored == scenario.focal,
        kinds=tracks.kinds[scored],
        manoeuvres=tuple(manoeuvre_of(scenario, int(agent)) for agent in scored),
        k1=_columns(score_forecast(trajectories, probabilities, truth, k=1)),
        k6=_columns(score_forecast(trajectories, probabilities, truth, k=6)),
        distances=tuple(distance_of(scenario, int(agent)) for agent in scored),
        histories=tuple(history_of(scenario, int(agent)) for agent in scored),
    )


def _columns(scores: ForecastScores) -> Float[np.ndarray, "agents metrics"]:
    """Stacks the fields of `ForecastScores` as columns."""
    return np.stack([np.float64(getattr(scores, column.name)) for column in fields(scores)], axis=1)


def _means(rows: Float[np.ndarray, "rows metrics"]) -> dict[str, float]:
    return dict(zip(METRICS, rows.mean(axis=0).tolist(), strict=True))


def _group(rows: ScoredAgents, member: Bool[np.ndarray, " rows"]) -> dict:
    """Returns the means over a subset of the scored agents."""
    return {"agents": int(member.sum()), "k1": _means(rows.k1[member]), "k6": _means(rows.k6[member])}


def _by_label(rows: ScoredAgents, labels: Sequence[str], order: Sequence[str]) -> dict[str, dict]:
    """Means over the scored agents of each label that some of them have."""
    of_rows = np.array(labels)
    return {label: _group(rows, of_rows == label) for label in order if label in labels}


def _intervals(rows: Float[np.ndarray, "rows metrics"], seed: int) -> dict[str, list[float]]:
    low, high = bootstrap_interval(rows, seed)
    return {name: [float(low[i]), float(high[i])] for i, name in enumerate(METRICS)}
