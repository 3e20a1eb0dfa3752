"""What is exported of a forecaster, and the scenes that tell whether it is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from perception_tools.forecasting.export import exportable
from perception_tools.forecasting.model import load_model


def test_the_scenes_have_the_borders_of_what_can_come(trained_run: Path) -> None:
    found = exportable(load_model(trained_run))
    cases = found.cases()
    first, *_ = cases.values()
    assert min(size for size in first.rows.shape if size) > 1
    valid = found.valid(first)
    assert valid.sum() < valid.size, "rows that only pad"
    assert len(cases["no lanes"].lane_vectors) == 0
    assert cases["one agent"].agent_kinds.shape == (1,)
    assert max(batch.rows.shape[1] for batch in cases.values()) == 100
    for batch in cases.values():
        answer = found.source.answer(batch)
        assert set(answer) == {"trajectories", "logits"}
        assert np.isfinite(answer["trajectories"].detach().numpy()[found.valid(batch)]).all()


def test_the_metadata_says_what_a_user_needs(trained_run: Path) -> None:
    trained = load_model(trained_run)
    metadata = exportable(trained).metadata
    assert metadata["history_steps"] == trained.training.history_steps
    assert metadata["future_steps"] == trained.model.horizon_steps
    assert metadata["recipe"] == trained.recipe.to_json()
    assert "metres" in metadata["outputs"]["trajectories"]
