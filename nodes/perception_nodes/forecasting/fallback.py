"""Futures of objects without the model: at rest, straight, or in a constant turn, by what history and tracker say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from perception.baselines.constant_turn import constant_turn
from perception.traffic.scenario import ROAD_USERS, AgentKind
from perception_nodes.forecasting.answer import Source
from perception_nodes.forecasting.tick import Tick

SLOWEST_M_S = 0.3
"""Below this speed an object counts as standing: trackers' velocities tremble by about as much."""
SLOWEST_TURN_RAD_S = 0.02
"""Below this rate a path counts as straight."""
_TURNING = (AgentKind.VEHICLE, AgentKind.BUS, AgentKind.MOTORCYCLIST, AgentKind.CYCLIST)


@dataclass(frozen=True)
class Extrapolation:
    """One future of each object.

    Attributes:
        trajectories: Positions in the city frame, metres; step 0 is one step after the present.
        sources: `Source` of each.
    """

    trajectories: Float[np.ndarray, "objects steps 2"]
    sources: Int[np.ndarray, " objects"]


def extrapolate(
    tick: Tick, velocity: Float[np.ndarray, "objects 2"], turn_rate: Float[np.ndarray, " objects"], steps: int
) -> Extrapolation:
    """Returns where objects get if they go on as they do.

    Args:
        tick: The objects; their positions are finite.
        velocity: Velocities in the city frame, m/s.
        turn_rate: Counter-clockwise turn rates, rad/s.
        steps: Number of steps.
    """
    moving = np.linalg.norm(velocity, axis=1) >= SLOWEST_M_S
    moving &= np.isin(tick.kinds, [*ROAD_USERS, AgentKind.UNKNOWN])
    if tick.motion is not None:
        moving &= ~tick.motion.stationary
    turning = moving & (np.abs(turn_rate) >= SLOWEST_TURN_RAD_S) & np.isin(tick.kinds, _TURNING)
    velocity, turn_rate = np.where(moving[:, None], velocity, 0.0), np.where(turning, turn_rate, 0.0)
    sources = np.select([turning, moving], [Source.CONSTANT_TURN, Source.CONSTANT_VELOCITY], Source.AT_REST)
    return Extrapolation(constant_turn(tick.position, velocity, turn_rate, steps), sources.astype(np.int64))
