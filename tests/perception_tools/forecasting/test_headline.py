"""The few numbers by which forms of a block are compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.forecasting.headline import headline
from perception_tools.forecasting.model import load_model


def test_they_are_the_evaluations_own(trained_run: Path, evaluated: Path, data: Path) -> None:
    trained, metrics = load_model(trained_run), json.loads((evaluated / "metrics.json").read_text())
    assert headline(trained.model, trained, data, "val", None) == {
        "min_fde": pytest.approx(metrics["k6"]["min_fde"], rel=1e-4),
        "miss_rate": pytest.approx(metrics["k6"]["miss_rate"]),
        "min_fde_k1": pytest.approx(metrics["k1"]["min_fde"], rel=1e-4),
    }


def test_a_limit_counts_scenarios_and_the_model_is_the_one_that_is_given(trained_run: Path, data: Path) -> None:
    trained = load_model(trained_run)
    first, folded = (headline(m, trained, data, "val", 1) for m in (trained.model, trained.model.folded()))
    assert first != headline(trained.model, trained, data, "val", 2)
    assert folded == pytest.approx(first, abs=1e-4)


def test_a_split_without_a_usable_scenario_is_refused(trained_run: Path, write_data, tmp_path: Path) -> None:
    data, trained = write_data(tmp_path / "argoverse1"), load_model(trained_run)
    for path in (data / "val" / "data").iterdir():
        path.write_text("nonsense\n")
    with pytest.raises(InputError, match="expected scenarios to measure on, got none in split val"):
        headline(trained.model, trained, data, "val", None)
