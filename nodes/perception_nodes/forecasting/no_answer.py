"""The answer to a tick that nothing can be said about, and what is sent while no ticks come."""

from __future__ import annotations

import numpy as np

from perception.geometry import SE2
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.tick import Tick


def no_answer(stamp_ns: int, reason: str, model_id: str) -> ForecastResult:
    """Returns an answer without objects that is not valid.

    Args:
        stamp_ns: Stamp of the objects, or the present time where there are none; 0 where it is not known.
        reason: Why there is no answer.
        model_id: Name of the model.
    """
    none, unknown = np.zeros(0, np.int64), float("nan")
    nothing = Tick(
        stamp_ns=stamp_ns,
        city_SE2_ego=SE2(unknown, unknown, unknown),
        ids=(),
        kinds=none,
        position=np.zeros((0, 2)),
        heading=np.zeros(0),
        size=np.zeros((0, 3)),
    )
    return ForecastResult(
        stamp_ns=stamp_ns,
        objects=nothing,
        velocity=np.zeros((0, 2)),
        trajectories=np.zeros((0, 1, 1, 2)),
        probabilities=np.zeros((0, 1)),
        mode_counts=none,
        sources=none,
        reasons=none,
        left_out=0,
        model_id=model_id,
        valid=False,
        reason=reason,
        age_ms=0.0,
        latency_ms=0.0,
        dropped_since_last=0,
    )
