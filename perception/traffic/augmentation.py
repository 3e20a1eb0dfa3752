"""Augmentation of training scenarios."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Augmentation:
    """A change of a scenario as a whole; forecasts stay in each agent's own frame.

    Attributes:
        mirrored: Whether left and right are swapped.
        turn_rad: Angle by which every view of the scenario is turned.
    """

    mirrored: bool = False
    turn_rad: float = 0.0


NO_AUGMENTATION = Augmentation()
