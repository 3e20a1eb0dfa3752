"""A tick between its arrival and its answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from perception_nodes.forecasting.question import Question
from perception_nodes.forecasting.tick import Tick


@dataclass(frozen=True)
class PendingTick:
    """A tick that was received, with what can be said of its objects without the model.

    Attributes:
        stamp_ns: Stamp of the tick.
        objects: Its objects that have a finite position, in the order of the message.
        left_out: Number of the others.
        velocity: Velocity of each object in the city frame, m/s.
        trajectories: One future of each object, without the model.
        sources: `Source` of those futures.
        reasons: `Reason` why the model is not asked about an object; NONE where it is.
        question: What to ask the model; None where there is nothing to ask.
        reason: Why there is no question; empty if there is one, or no road user to ask about.
        usable: Whether the futures may be published: the tick is the newest, or seems to be since the clock was set.
        in_time: Whether it is the newest by its stamp.
        begin_s: When it was received, on the monotonic clock.
    """

    stamp_ns: int
    objects: Tick
    left_out: int
    velocity: Float[np.ndarray, "objects 2"]
    trajectories: Float[np.ndarray, "objects steps 2"]
    sources: Int[np.ndarray, " objects"]
    reasons: Int[np.ndarray, " objects"]
    question: Question | None
    reason: str
    usable: bool
    in_time: bool
    begin_s: float

    @classmethod
    def unusable(cls, tick: Tick, reason: str, begin_s: float) -> PendingTick:
        """Returns a tick that gets no answer.

        Args:
            tick: The tick.
            reason: Why it gets none.
            begin_s: When it was received, on the monotonic clock.
        """
        none = np.zeros(0, np.int64)
        return cls(
            stamp_ns=tick.stamp_ns,
            objects=tick.take(none),
            left_out=0,
            velocity=np.zeros((0, 2)),
            trajectories=np.zeros((0, 1, 2)),
            sources=none,
            reasons=none,
            question=None,
            reason=reason,
            usable=False,
            in_time=False,
            begin_s=begin_s,
        )
