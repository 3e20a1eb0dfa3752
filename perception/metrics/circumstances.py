"""Where an agent was and how long it had been seen: labels for tables that show where a forecaster fails."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from perception.traffic.scenario import STEP_S, Scenario

DISTANCES_M = (10.0, 25.0, 50.0)
"""Borders between the distances, metres."""
HISTORIES_S = (0.5, 1.0, 2.0)
"""Borders between the lengths of a history, seconds."""


def _labels(borders: tuple[float, ...], unit: str) -> tuple[str, ...]:
    words = [f"{border:g}" for border in borders]
    between = [f"{low} to {high} {unit}" for low, high in pairwise(words)]
    return (f"below {words[0]} {unit}", *between, f"{words[-1]} {unit} or more")


DISTANCES, HISTORIES = _labels(DISTANCES_M, "m"), _labels(HISTORIES_S, "s")
"""The labels, in the order of the tables."""


def distance_of(scenario: Scenario, agent: int) -> str:
    """How far an agent is from the recording vehicle at present; from the focal agent where there is none."""
    place = scenario.agents.position[:, scenario.present]
    seen = scenario.ego is not None and scenario.agents.valid[scenario.ego, scenario.present]
    viewer = scenario.ego if seen else scenario.focal
    return DISTANCES[int(np.searchsorted(DISTANCES_M, np.linalg.norm(place[agent] - place[viewer]), side="right"))]


def history_of(scenario: Scenario, agent: int) -> str:
    """For how long an agent has been observed: its observed steps up to the present, gaps left out."""
    steps = int(scenario.agents.valid[agent, : scenario.history_steps].sum())
    return HISTORIES[int(np.searchsorted(HISTORIES_S, round(steps * STEP_S, 6), side="right"))]
