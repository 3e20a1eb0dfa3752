"""An evaluation of the tiny forecaster."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def evaluated(trained_run: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What evaluating the trained run left. Tests must not change it."""
    from perception_tools.forecasting.evaluate import evaluate_models

    out = tmp_path_factory.mktemp("evaluated")
    evaluate_models([trained_run], data, out)
    return out
