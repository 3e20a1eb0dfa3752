"""Scenarios of other lengths: a shorter past, a nearer horizon, as if the record had been made so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perception.traffic.motion import causal_velocity
from perception.traffic.scenario import AgentTracks, Scenario, UnusableScenario
from perception_datasets.argoverse.argoverse1 import estimate_heading

WITHOUT_MOTION = ("argoverse1",)
"""Sources whose headings and velocities are estimated from positions, so that a shorter past changes them."""


def shorten(scenario: Scenario, history_steps: int, future_steps: int | None = None) -> Scenario:
    """The newest steps of the past and the first of the future.

    What a reader estimates from positions is estimated from what is left, so that nothing of the steps before remains.
    Agents that are not observed any more stay, without a step.

    Args:
        scenario: With at least as many steps.
        history_steps: Observed steps to keep.
        future_steps: Future steps to keep; all unless given.

    Raises:
        UnusableScenario: It has fewer steps.
    """
    future_steps = scenario.future_steps if future_steps is None else future_steps
    if history_steps > scenario.history_steps or future_steps > scenario.future_steps or history_steps < 1:
        raise UnusableScenario(
            f"scenario {scenario.id}: expected at least {history_steps} observed and {future_steps} future steps, got "
            f"{scenario.history_steps} and {scenario.future_steps}; ask for fewer"
        )
    kept = slice(scenario.history_steps - history_steps, scenario.history_steps + future_steps)
    if kept == slice(0, sum(scenario.shape)):
        return scenario
    tracks = scenario.agents
    cut = replace(
        tracks,
        position=tracks.position[:, kept],
        heading=tracks.heading[:, kept],
        velocity=tracks.velocity[:, kept],
        valid=tracks.valid[:, kept],
    )
    return replace(scenario, agents=_estimated(scenario, cut, history_steps - 1), history_steps=history_steps)


def hide_history(scenario: Scenario, history_steps: int) -> Scenario:
    """The scenario with its lengths, in which steps before the newest of the past were not observed."""
    short = shorten(scenario, min(history_steps, scenario.history_steps)).agents
    hidden = scenario.agents.valid.shape[1] - short.valid.shape[1]

    def padded(values: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros_like(values[:, :1]).repeat(hidden, axis=1), values], axis=1)

    return replace(
        scenario,
        agents=replace(
            short,
            position=padded(short.position),
            heading=padded(short.heading),
            velocity=padded(short.velocity),
            valid=padded(short.valid),
        ),
    )


def _estimated(scenario: Scenario, tracks: AgentTracks, present: int) -> AgentTracks:
    """Tracks with motion from their own positions, where the data set has none."""
    if scenario.source not in WITHOUT_MOTION:
        return tracks
    return replace(
        tracks,
        heading=estimate_heading(tracks.position, tracks.valid, scenario.map, present),
        velocity=causal_velocity(tracks.position, tracks.valid, present),
    )
