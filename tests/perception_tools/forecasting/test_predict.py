"""Submissions of a trained forecaster: worlds of its single agents, of every scenario or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.traffic.scenario import Forecast
from perception_datasets.argoverse.submissions import read_submission
from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.mean_forecast import MeanForecaster
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.predict import as_given, predict_forecasts


def test_worlds_hold_the_modes_of_one_rank_with_the_focal_agents_probabilities(make_scenario) -> None:
    scenario = make_scenario(agents=2)
    modes = np.arange(6.0).reshape(2, 3, 1, 1) * np.ones((1, 1, 10, 2))
    chances = np.array([[0.1, 0.3, 0.6], [0.2, 0.5, 0.3]])
    given = as_given(scenario, Forecast(np.array([1, 0]), modes, chances))  # the focal agent is the second row
    assert given.tracks == ("track1", "track0")
    assert given.trajectories[:, :, 0, 0].tolist() == [[2.0, 1.0, 0.0], [4.0, 5.0, 3.0]]
    assert given.probabilities.tolist() == [[0.5, 0.3, 0.2]] * 2


def test_a_file_holds_the_models_forecasts_of_every_scenario(trained_run: Path, data: Path, tmp_path: Path) -> None:
    predict_forecasts((trained_run,), data, tmp_path / "f.h5")
    found, model = read_submission(tmp_path / "f.h5"), load_model(trained_run).model
    folder = open_forecasting(data, "val")
    assert found.keys() == set(folder.ids)
    scenario = folder[0]
    (forecast,) = model.forecast([scenario], [np.array([scenario.focal])])
    likeliest = forecast.trajectories[0, forecast.probabilities[0].argmax()]
    np.testing.assert_allclose(found[scenario.id].trajectories[0, 0], likeliest, atol=1e-2)


def test_a_split_with_a_broken_scenario_gives_no_file(trained_run: Path, broken_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a forecast of every scenario[^$]*2\.csv"):
        predict_forecasts((trained_run,), broken_data, tmp_path / "f.h5")
    assert not (tmp_path / "f.h5").exists()


@pytest.mark.parametrize(
    ("out", "options", "words"),
    [("f.csv", {}, "ends in .parquet"), ("f.h5", {"agents": "scored"}, "holds the AGENT alone")],
)
def test_what_a_format_does_not_have_is_not_predicted(
    trained_run: Path, data: Path, tmp_path: Path, out: str, options: dict, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        predict_forecasts((trained_run,), data, tmp_path / out, **options)


def test_several_runs_give_their_mean_and_each_may_see_mirror_images(
    trained_run: Path, data: Path, tmp_path: Path
) -> None:
    predict_forecasts((trained_run, trained_run), data, tmp_path / "f.h5", mirrored=True)
    scenario, model = open_forecasting(data, "val")[0], load_model(trained_run).model
    mean = MeanForecaster((model,), mirrored=True).forecast([scenario], [np.array([scenario.focal])])[0]
    expected = as_given(scenario, mean)
    found = read_submission(tmp_path / "f.h5")[scenario.id]
    np.testing.assert_allclose(found.trajectories, expected.trajectories, atol=1e-2)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-3)


def test_no_run_is_a_sentence(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at least one run"):
        predict_forecasts((), data, tmp_path / "f.h5")
