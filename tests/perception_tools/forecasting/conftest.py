"""An evaluation of the tiny forecaster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def evaluated(trained_run: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What evaluating the trained run left. Tests must not change it."""
    from perception_tools.forecasting.evaluate import evaluate_models

    out = tmp_path_factory.mktemp("evaluated")
    evaluate_models([trained_run], data, out)
    return out


@pytest.fixture
def broken_data(write_data: Callable[[Path], Path], tmp_path: Path) -> Path:
    """The tiny data set, with the second of its five val scenes broken."""
    folder = write_data(tmp_path / "argoverse1")
    (folder / "val" / "data" / "2.csv").write_text("nonsense\n")
    return folder
