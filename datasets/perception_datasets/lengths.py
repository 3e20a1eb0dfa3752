"""Scenarios of other lengths: a shorter past, a nearer horizon, as if the record had been made so."""

from __future__ import annotations

from collections.abc import Callable
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
    return _cut(scenario, kept, history_steps)


def hide_history(scenario: Scenario, history_steps: int) -> Scenario:
    """The scenario with its lengths, in which steps before the newest of the past were not observed."""
    return _with_length(shorten(scenario, min(history_steps, scenario.history_steps)), scenario.history_steps)


def earlier(scenario: Scenario, steps: int) -> Scenario:
    """The scenario with its lengths as it was some steps before: its past is shorter by them and the rest its future.

    What a reader estimates from positions is estimated from what was seen until then.

    Args:
        scenario: With as many steps of past, and at least one more.
        steps: How much earlier the present is.

    Raises:
        UnusableScenario: It has fewer steps, or its focal agent was not observed then.
    """
    if not 0 <= steps < scenario.history_steps:
        raise UnusableScenario(
            f"scenario {scenario.id}: expected a present at least one step after the first of {scenario.history_steps} "
            f"observed steps, got one {steps} steps earlier; ask for fewer"
        )
    short = _cut(scenario, slice(0, sum(scenario.shape) - steps), scenario.history_steps - steps)
    short.require_focal()
    return _with_length(short, scenario.history_steps)


def _cut(scenario: Scenario, kept: slice, history_steps: int) -> Scenario:
    """Some consecutive steps of a scenario, the first of them its past."""
    tracks = _each(scenario.agents, lambda values: values[:, kept])
    return replace(scenario, agents=with_motion(scenario, tracks, history_steps - 1), history_steps=history_steps)


def _with_length(scenario: Scenario, history_steps: int) -> Scenario:
    """The scenario with a longer past, whose first steps were not observed."""
    hidden = history_steps - scenario.history_steps
    if hidden == 0:
        return scenario

    def padded(values: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros_like(values[:, :1]).repeat(hidden, axis=1), values], axis=1)

    return replace(scenario, agents=_each(scenario.agents, padded), history_steps=history_steps)


def _each(tracks: AgentTracks, change: Callable[[np.ndarray], np.ndarray]) -> AgentTracks:
    """Tracks with everything changed that they say of each step."""
    names = ("position", "heading", "velocity", "valid")
    return replace(tracks, **{name: change(getattr(tracks, name)) for name in names})


def with_motion(scenario: Scenario, tracks: AgentTracks, present: int) -> AgentTracks:
    """Tracks with motion from their own positions, where the data set has none.

    Args:
        scenario: The scenario that they are part of.
        tracks: Changed positions.
        present: Last observed step.
    """
    if scenario.source not in WITHOUT_MOTION:
        return tracks
    return replace(
        tracks,
        heading=estimate_heading(tracks.position, tracks.valid, scenario.map, present),
        velocity=causal_velocity(tracks.position, tracks.valid, present),
    )
