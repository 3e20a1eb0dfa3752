"""What a forecasting node answers: futures of every object, and where each comes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Float, Int

from perception_nodes.forecasting.tick import Tick


class Source(IntEnum):
    """Where an object's futures come from; the constants of `forecast_msgs/ForecastStatus`."""

    MODEL = 0
    CONSTANT_TURN = 1
    CONSTANT_VELOCITY = 2
    AT_REST = 3


@dataclass(frozen=True)
class ForecastResult:
    """A node's answer to one tick.

    Attributes:
        stamp_ns: Stamp of the tick; the forecast's step 0 is one step after it.
        objects: All objects that have a finite position, as they are now, in the order of the message.
        velocity: Velocity of each object in the city frame, m/s.
        trajectories: Futures in the city frame, metres. Modes beyond an object's own number repeat its first.
        probabilities: Probability of each mode; 0 beyond an object's own number.
        mode_counts: Number of futures of each object.
        sources: `Source` of each object's futures.
        reasons: `Reason` why they are not the model's.
        left_out: Number of the tick's objects without a finite position, of which nothing can be said.
        model_id: Name of the model.
        valid: Whether the futures start from this tick's objects and may be acted on. If not, there are none.
        reason: Why the model did not answer the tick; empty if it did.
        age_ms: Time from the stamp to the answer, on the stream's clock.
        latency_ms: Time from the tick's arrival to the answer, on a monotonic clock.
        dropped_since_last: Number of ticks since the last valid answer that were lost or not answered.
    """

    stamp_ns: int
    objects: Tick
    velocity: Float[np.ndarray, "objects 2"]
    trajectories: Float[np.ndarray, "objects modes steps 2"]
    probabilities: Float[np.ndarray, "objects modes"]
    mode_counts: Int[np.ndarray, " objects"]
    sources: Int[np.ndarray, " objects"]
    reasons: Int[np.ndarray, " objects"]
    left_out: int
    model_id: str
    valid: bool
    reason: str
    age_ms: float
    latency_ms: float
    dropped_since_last: int

    @property
    def source(self) -> str:
        """`model` if it answered for every object that it forecasts, `fallback` if it answered none, else `none`."""
        if not self.valid:
            return "none"
        return "fallback" if self.reason else "model"

    @property
    def by_model(self) -> Int[np.ndarray, " forecast"]:
        """Rows of the objects whose futures are the model's."""
        return np.flatnonzero(self.sources == Source.MODEL)
