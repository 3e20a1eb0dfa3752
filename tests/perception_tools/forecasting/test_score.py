"""Anybody's file gets the numbers that `evaluate` gives, and what looks like a mix-up is remarked on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from perception.errors import InputError
from perception.traffic.scenario import Forecast, Scenario
from perception_datasets.argoverse.submissions import GivenForecast, write_argoverse1, write_argoverse2
from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.evaluate import evaluate_models
from perception_tools.forecasting.predict import as_given
from perception_tools.forecasting.score import score_forecasts
from perception_tools.forecasting.scored import asked_agents
from perception_tools.main import main

Given = Callable[[Scenario], GivenForecast]


def truth(scenario: Scenario) -> GivenForecast:
    agents = asked_agents(scenario)
    future = scenario.agents.position[agents, None, scenario.history_steps :]
    return as_given(scenario, Forecast(agents, future, np.ones((len(agents), 1))))


def write(path: Path, data: Path, given: Given) -> Path:
    """A submission of a split's scenarios."""
    folder = open_forecasting(data, "val")
    writer = write_argoverse1 if path.suffix == ".h5" else write_argoverse2
    writer(path, [(scenario.id, given(scenario)) for scenario in folder])
    return path


def test_a_file_of_our_own_gets_the_numbers_of_evaluate(
    trained_run: Path, evaluated: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(word) for word in (trained_run, "--data", data, "--out", tmp_path / "f.h5")]
    assert main(["predict", "forecasts", *words]) == 0
    assert "f.h5: 5 scenarios" in capsys.readouterr().out
    words = [str(word) for word in (tmp_path / "f.h5", "--data", data, "--split", "val", "--out", tmp_path / "out")]
    assert main(["score", "forecasts", *words]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    expected = json.loads((evaluated / "metrics.json").read_text())
    for k in ("k1", "k6"):
        for name in ("min_ade", "min_ade_endpoint", "min_fde", "miss_rate", "brier_min_fde"):
            assert metrics[k][name] == pytest.approx(expected[k][name], abs=2e-4), "the format's single precision"
    assert metrics["agents"] == metrics["scenarios"] == 5
    assert metrics["focal_only"] == {"f.h5": True}
    assert metrics["others"].keys() == {"constant velocity"}
    assert pq.read_table(tmp_path / "out" / "records.parquet").num_rows == 5


def test_all_scored_tracks_of_argoverse_2_are_scored_and_the_truth_is_remarked_on(
    made_argoverse2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "f.parquet", made_argoverse2, truth)
    metrics = score_forecasts((path,), made_argoverse2, tmp_path / "out")
    assert metrics["k6"]["min_fde"] == 0
    assert metrics["focal_only"] == {"f.parquet": False}
    assert metrics["agents"] > metrics["scenarios"] == 4
    assert "every forecast is the truth" in metrics["remarks"]["f.parquet"]
    assert "every forecast is the truth" in capsys.readouterr().out


def stands_still(scenario: Scenario) -> GivenForecast:
    given = truth(scenario)
    start = scenario.agents.position[asked_agents(scenario), scenario.present][:, None, None]
    return replace(given, trajectories=np.broadcast_to(start, given.trajectories.shape))


def in_another_frame(scenario: Scenario) -> GivenForecast:
    given = truth(scenario)
    return replace(given, trajectories=given.trajectories + 5000.0)


@pytest.mark.parametrize(
    ("given", "words"), [(stands_still, "no forecast moves"), (in_another_frame, "of the city's frame")]
)
def test_what_cannot_be_meant_is_remarked_on(given: Given, words: str, made_argoverse2: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "f.parquet", made_argoverse2, given)
    assert words in score_forecasts((path,), made_argoverse2, tmp_path / "out")["remarks"]["f.parquet"]


def test_files_are_compared_with_each_other(made_argoverse2: Path, tmp_path: Path) -> None:
    paths = write(tmp_path / "a.parquet", made_argoverse2, truth), write(tmp_path / "b.parquet", made_argoverse2, truth)
    metrics = score_forecasts(paths, made_argoverse2, tmp_path / "out")
    paired = metrics["paired"][0]
    assert (paired["first"], paired["second"]) == ("a.parquet", "b.parquet")
    assert paired["k6"]["min_fde"]["difference"] == 0


def test_a_missing_scenario_or_track_is_named(made_argoverse2: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "f.parquet", made_argoverse2, truth)
    table = pq.read_table(path)
    names = np.array(table["scenario_id"].to_pylist())
    first = open_forecasting(made_argoverse2, "val").ids[0]
    pq.write_table(table.filter(names != first), path)
    with pytest.raises(InputError, match=f"expected forecasts of all 4 scenarios, found none of 1: {first}"):
        score_forecasts((path,), made_argoverse2, tmp_path / "out")
    pq.write_table(table.slice(1), path)
    with pytest.raises(InputError, match=r"expected forecasts of its \d+ scored tracks, found none of "):
        score_forecasts((path,), made_argoverse2, tmp_path / "out")


def test_a_file_of_the_other_benchmark_is_refused(data: Path, tmp_path: Path) -> None:
    given = GivenForecast(("a",), np.zeros((1, 6, 60, 2)), np.full((1, 6), 1 / 6))
    write_argoverse2(tmp_path / "f.parquet", [(name, given) for name in open_forecasting(data, "val").ids])
    with pytest.raises(InputError, match="expected forecasts of its 1 scored tracks, found none of agent"):
        score_forecasts((tmp_path / "f.parquet",), data, tmp_path / "out")


def test_scenarios_of_a_test_split_are_scored_where_they_have_labels(
    made_argoverse2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(made_argoverse2 / "val", data / "test")
    path = write(tmp_path / "f.parquet", made_argoverse2, truth)
    unlabelled = open_forecasting(data, "test").paths[1]
    table = pq.read_table(unlabelled)
    pq.write_table(table.filter(np.array(table["timestep"]) < 50), unlabelled)
    metrics = score_forecasts((path,), data, tmp_path / "out", split="test")
    assert metrics["scenarios"] == 3
    assert [("50 observed steps alone" in reason) for reason in metrics["failures"].values()] == [True]
    assert "1 of 4 scenarios could not be read" in capsys.readouterr().out


def test_av2_models_are_evaluated_on_labelled_test_scenarios(
    trained_run: Path, made_argoverse2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perception_tools.forecasting.evaluate.write_report", lambda *_args, **_options: None)
    shutil.copytree(made_argoverse2 / "val", tmp_path / "data" / "test")
    metrics = evaluate_models(
        [trained_run], tmp_path / "data", tmp_path / "out", split="test", history_steps=20, horizon_steps=30
    )
    assert (metrics["split"], metrics["scenarios"]) == ("test", 4)
