from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from perception_nodes.forecasting.answer import ForecastResult, Source
from perception_nodes.forecasting.tick import Tick


@pytest.mark.parametrize(
    ("valid", "reason", "source"),
    [(True, "", "model"), (True, "no map yet", "fallback"), (False, "sent before", "none"), (False, "", "none")],
)
def test_an_answer_says_where_it_comes_from(
    make_tick: Callable[..., Tick], valid: bool, reason: str, source: str
) -> None:
    sources = np.array([Source.MODEL, Source.AT_REST, Source.MODEL, Source.CONSTANT_VELOCITY])
    result = ForecastResult(
        stamp_ns=1,
        objects=make_tick(0),
        velocity=np.zeros((4, 2)),
        trajectories=np.zeros((4, 1, 2, 2)),
        probabilities=np.ones((4, 1)),
        mode_counts=np.ones(4, np.int64),
        sources=sources,
        reasons=np.zeros(4, np.int64),
        left_out=0,
        model_id="m",
        valid=valid,
        reason=reason,
        age_ms=0.0,
        latency_ms=0.0,
        dropped_since_last=0,
    )
    assert result.source == source
    assert result.by_model.tolist() == [0, 2]
