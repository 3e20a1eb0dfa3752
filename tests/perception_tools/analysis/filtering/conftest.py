"""Records as a model sees them, made up: six tokens, of which the target stands out in some stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception_tools.analysis.filtering.views import TokenView

TOKENS = 6


@pytest.fixture
def make_view() -> Callable[..., TokenView]:
    """Makes a view whose `encoder` singles out nothing and whose `project_out` singles out the target."""
    from perception_tools.analysis.filtering.views import TokenView

    def make(id: str = "a", *, seed: int = 0, target: Any = (0, 1), plain: bool = False, **changes: Any) -> TokenView:
        rng = np.random.default_rng(seed)
        is_target = None if target is None else np.isin(np.arange(TOKENS), target)
        stages = {"encoder": rng.normal(size=(TOKENS, 8))}
        if not plain:
            behind = 0.01 * rng.normal(size=(TOKENS, 8))
            behind[is_target if is_target is not None else [0]] += 5
            stages |= {"attention": rng.normal(size=(TOKENS, 4)), "project_out": behind}
        values = {
            "id": id,
            "stages": stages,
            "attention": rng.random(TOKENS),
            "attention_stage": "encoder" if plain else "attention",
            "target": is_target,
            "counted": np.ones(TOKENS, bool),
            "priors": {"the first": 1 - np.arange(TOKENS) / TOKENS},
            "draw": lambda axes, _values: axes.plot([0, 1], [0, 1]),
        }
        return TokenView(**values | changes)

    return make
