"""One row for each scored agent, for `records.parquet`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from perception.metrics.forecasting import METRICS, ScoredAgents
from perception.traffic.scenario import AgentKind, Forecast, Scenario


def agent_rows(model: str, scenario: Scenario, forecast: Forecast, scored: ScoredAgents) -> Iterator[dict[str, object]]:
    """Yields the rows of a scenario's scored agents.

    A row names the model, the scenario and the agent, holds each metric (`k6_min_fde`, …; metres, `miss_rate` as 0 or
    1), and what it is made from: the modes' probabilities and end points (x and y of each in a row, city frame,
    metres), and the true end point.

    Args:
        model: Name of the model, as in `metrics.json`.
        scenario: Scenario with its future.
        forecast: Forecast of its agents.
        scored: What `ForecastTable.add` returned for them.
    """
    tracks = scenario.agents
    row_of = {int(agent): row for row, agent in enumerate(forecast.agents)}
    for row, agent in enumerate(scored.agents.tolist()):
        modes = row_of[agent]
        yield {
            "model": model,
            "scenario": scenario.id,
            "city": scenario.city,
            "agent": tracks.ids[agent],
            "kind": AgentKind(tracks.kinds[agent]).name.lower(),
            "focal": bool(scored.focal[row]),
            "manoeuvre": scored.manoeuvres[row],
            **{f"{k}_{name}": value for k in ("k6", "k1") for name, value in _named(getattr(scored, k)[row])},
            "probabilities": forecast.probabilities[modes].astype(np.float64),
            "end_points": forecast.trajectories[modes, :, -1].astype(np.float64).ravel(),
            "true_end_point": tracks.position[agent, -1].astype(np.float64),
        }


def _named(scores: np.ndarray) -> Iterator[tuple[str, float]]:
    return zip(METRICS, scores.tolist(), strict=True)
