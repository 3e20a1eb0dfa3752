"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception.scenario import MapPolylines, Scenario

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data ($PERCEPTION_DATA or ../shared/data); the test is skipped where there is none."""
    folder = Path(os.environ.get("PERCEPTION_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set PERCEPTION_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def make_scenario() -> Callable[..., Scenario]:
    """Makes a small scenario: parallel tracks at constant speeds along a straight road, unless positions are given."""
    from perception.scenario import AgentKind, AgentTracks, Scenario

    def make(
        scenario_id: str = "s1",
        *,
        position: np.ndarray | None = None,
        history_steps: int = 5,
        steps: int = 15,
        agents: int = 2,
        kinds: np.ndarray | None = None,
    ) -> Scenario:
        if position is None:
            along = np.arange(steps)[None, :] * np.linspace(1.0, 0.5, agents)[:, None]
            position = np.stack([along, np.broadcast_to(4.0 * np.arange(agents)[:, None], along.shape)], axis=-1)
        count, length = position.shape[:2]
        velocity = np.gradient(position, 0.1, axis=1)
        tracks = AgentTracks(
            ids=tuple(f"track{i}" for i in range(count)),
            kinds=np.full(count, AgentKind.VEHICLE, dtype=np.int64) if kinds is None else kinds,
            position=position,
            heading=np.arctan2(velocity[..., 1], velocity[..., 0]),
            velocity=velocity,
            valid=np.ones((count, length), dtype=bool),
            scored=np.ones(count, dtype=bool),
        )
        return Scenario(scenario_id, "synthetic", "PIT", tracks, _straight_road(), history_steps, focal=0, ego=None)

    return make


def _straight_road() -> MapPolylines:
    """Two lanes side by side, the second in an intersection, and a crosswalk over both."""
    from perception.scenario import MapPolylines

    along = np.linspace(-30.0, 60.0, 10)
    lanes = [np.stack([along, np.full(10, y)], axis=-1) for y in (0.0, 4.0)]
    crosswalk = np.stack([np.full(10, 20.0), np.linspace(-3.0, 7.0, 10)], axis=-1)
    return MapPolylines(
        ids=np.arange(3),
        points=np.stack([*lanes, crosswalk]),
        kinds=np.array([0, 0, 3]),
        turns=np.zeros(3, dtype=np.int64),
        is_intersection=np.array([False, True, False]),
        has_traffic_control=np.zeros(3, dtype=bool),
    )
