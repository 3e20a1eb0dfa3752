"""Scenarios with fewer decimals, which take a fraction of the room: most of the digits that files state are noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perception.errors import InputError
from perception.traffic.scenario import Scenario
from perception_datasets.lengths import with_motion

MOST_DECIMALS = 6
"""Micrometres: tracks are accurate to about a decimetre."""


def check_decimals(decimals: int) -> None:
    """Checks a number of decimals.

    Raises:
        InputError: It is none that can be rounded to.
    """
    if not 1 <= decimals <= MOST_DECIMALS:
        raise InputError(
            f"decimals: expected 1 to {MOST_DECIMALS}, got {decimals}; 2 keeps centimetres, and without it everything "
            "is kept as the files state it"
        )


def rounded(scenario: Scenario, decimals: int) -> Scenario:
    """The scenario with positions (metres) and velocities (m/s) rounded, and headings (radians) to one decimal more.

    Where the data set states no motion it is estimated from the rounded positions, as readers do. The map stays.

    Args:
        scenario: With any numbers.
        decimals: Number of decimals.

    Raises:
        InputError: See `check_decimals`.
    """
    check_decimals(decimals)
    tracks = scenario.agents
    fewer = replace(
        tracks,
        position=_round(tracks.position, decimals),
        heading=_round(tracks.heading, decimals + 1),
        velocity=_round(tracks.velocity, decimals),
    )
    return replace(scenario, agents=with_motion(scenario, fewer, scenario.present))


def _round(values: np.ndarray, decimals: int) -> np.ndarray:
    return np.round(values, decimals) + 0.0  # without a negative zero, which no count of units is
