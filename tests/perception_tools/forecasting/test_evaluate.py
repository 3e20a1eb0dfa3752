"""Evaluation: the contract's numbers, of every scenario that can be used."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from perception.baselines.constant_velocity import constant_velocity
from perception.errors import InputError
from perception.metrics.forecasting import ForecastTable
from perception_datasets.forecasting import open_forecasting
from perception_datasets.lengths import shorten
from perception_tools.forecasting.evaluate import BASELINE, evaluate_models
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.run import ForecastRun
from perception_tools.forecasting.scored import asked_agents
from perception_tools.training.curves import read_curves
from perception_tools.training.fit import fit

CONTRACT = {"min_ade", "min_ade_endpoint", "min_fde", "miss_rate", "brier_min_fde"}


@pytest.fixture
def metrics(evaluated: Path) -> dict:
    """What metrics.json holds."""
    return json.loads((evaluated / "metrics.json").read_text())


@pytest.fixture
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the pictures out, which take most of the time."""
    monkeypatch.setattr("perception_tools.forecasting.evaluate.write_report", lambda *_args, **_options: None)


def test_metrics_json_is_what_the_contract_says(metrics: dict) -> None:
    assert metrics["scenarios"] == 5
    assert metrics["agents"] == 15, "the AGENT, the AV and the parked car; the track that ends early is not scored"
    for k in ("k1", "k6"):
        assert metrics[k].keys() >= CONTRACT | {"all_agents"}
        assert metrics[k]["all_agents"].keys() >= CONTRACT
        assert all(isinstance(metrics[k][name], float) for name in CONTRACT)
        assert metrics[k]["min_ade"] <= metrics[k]["min_ade_endpoint"]
    assert metrics["k6"]["min_fde"] <= metrics["k1"]["min_fde"]
    assert (metrics["name"], metrics["source"], metrics["split"]) == ("vectornet-llama", "argoverse1", "val")
    assert metrics["failures"] == {}


def test_the_numbers_are_those_that_training_validated_last(metrics: dict, trained_run: Path) -> None:
    last = {name: points[-1][1] for name, points in read_curves(trained_run).items()}
    assert metrics["k6"]["min_fde"] == pytest.approx(last["val/min_fde"], rel=1e-4)
    assert metrics["k6"]["min_ade"] == pytest.approx(last["val/min_ade"], rel=1e-4)
    assert metrics["k6"]["miss_rate"] == pytest.approx(last["val/miss_rate"])
    assert metrics["k1"]["min_fde"] == pytest.approx(last["val/min_fde_k1"], rel=1e-4)


def test_constant_velocity_stands_beside_the_model(metrics: dict, data: Path) -> None:
    table = ForecastTable()
    for scenario in open_forecasting(data, "val").read_all(lambda *_: None):
        table.add(scenario, constant_velocity(scenario, asked_agents(scenario)))
    assert metrics["others"] == {BASELINE: json.loads(json.dumps(table.as_json()))}


def test_the_report_is_one_page_that_names_model_and_data(evaluated: Path) -> None:
    page = (evaluated / "report.html").read_text()
    assert "vectornet-llama" in page
    assert BASELINE in page
    assert "argoverse1 val of " in page
    assert "<svg" in page or "data:image" in page


def test_the_worst_are_shown_on_request_and_a_second_evaluation_parses_no_file(
    trained_run: Path, data: Path, metrics: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = []
    monkeypatch.setattr("perception_datasets.argoverse.argoverse1.Argoverse1Files.read", lambda *_: parsed.append(1))
    again = evaluate_models([trained_run], data, tmp_path, worst=3)
    assert again["k6"] == metrics["k6"]
    assert parsed == []
    assert "The 3 worst forecasts of vectornet-llama" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("change", [{"worst": -1}, {"cache_gb": -1.0}, {"cache_gb": float("nan")}])
def test_numbers_below_0_are_refused(trained_run: Path, data: Path, tmp_path: Path, change: dict) -> None:
    with pytest.raises(InputError, match="expected numbers of at least 0"):
        evaluate_models([trained_run], data, tmp_path, **change)


def test_a_broken_scenario_is_named_and_the_others_are_scored(
    trained_run: Path, broken_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = evaluate_models([trained_run], broken_data, tmp_path / "out")
    assert metrics["scenarios"] == 4
    assert list(metrics["failures"]) == ["2"]
    assert "2.csv" in metrics["failures"]["2"]
    said = capsys.readouterr().out
    assert "1 of 5 scenarios could not be read\n  2: " in said
    assert "1 of 5 scenarios could not be read" in (tmp_path / "out" / "report.html").read_text()


def test_data_of_another_horizon_is_refused_with_both_lengths(
    trained_run: Path, data: Path, tmp_path: Path, write_argoverse1_csv, make_argoverse1_rows
) -> None:
    observed = [row for row in make_argoverse1_rows() if float(row.split(",")[0]) < 315968001.95]
    write_argoverse1_csv(tmp_path / "data" / "val" / "data" / "1.csv", observed)
    (tmp_path / "data" / "map_files").symlink_to(data / "map_files")
    with pytest.raises(InputError, match="expected 20 observed and 30 future steps as in training, got 20 and 0"):
        evaluate_models([trained_run], tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("without_report")
@pytest.mark.parametrize("odd", ["1", "3"])
def test_a_scenario_of_another_length_is_a_failure_wherever_it_stands(
    odd: str,
    trained_run: Path,
    write_data: Callable[[Path], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = write_data(tmp_path / "argoverse1")
    path = data / "val" / "data" / f"{odd}.csv"
    header, *rows = path.read_text().splitlines()
    observed = [row for row in rows if float(row.split(",")[0]) < 315968001.95]
    path.write_text("\n".join([header, *observed]) + "\n")
    metrics = evaluate_models([trained_run], data, tmp_path / "out")
    assert metrics["scenarios"] == 4
    assert list(metrics["failures"]) == [odd]
    assert "expected 20 observed and 30 future steps as in training, got 20 and 0" in metrics["failures"][odd]
    assert "4 scenarios of argoverse1 val" in capsys.readouterr().out


@pytest.mark.usefixtures("without_report")
@pytest.mark.parametrize("odd", ["1", "3"])
def test_a_coordinate_that_cannot_be_is_a_failure_wherever_it_stands(
    odd: str, trained_run: Path, write_data: Callable[[Path], Path], tmp_path: Path
) -> None:
    data = write_data(tmp_path / "argoverse1")
    path = data / "val" / "data" / f"{odd}.csv"
    path.write_text(re.sub(r"(,agent,AGENT,)[^,]*", r"\g<1>1e300", path.read_text(), count=1))
    metrics = evaluate_models([trained_run], data, tmp_path / "out")
    assert metrics["scenarios"] == 4
    assert "column X, row " in metrics["failures"][odd]


@pytest.mark.usefixtures("without_report")
def test_the_headline_counts_what_was_scored(
    trained_run: Path, write_data: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "argoverse1")
    path = data / "val" / "data" / "2.csv"
    rows = path.read_text().splitlines()
    path.write_text("\n".join(row for row in rows if not row.startswith("315968004.0,agent")) + "\n")
    metrics = evaluate_models([trained_run], data, tmp_path / "out")
    assert (metrics["scenarios"], metrics["incomplete_focal"]) == (5, 1)
    said = capsys.readouterr().out
    assert "4 scenarios of argoverse1 val, focal agents" in said
    assert "1 more are not scored" in said


def test_scenarios_of_the_training_split_are_counted_in_metrics_and_report(evaluated: Path, metrics: dict) -> None:
    assert metrics["scenarios_in_train"] == 3, "every other scene of the tiny data is the same in both splits"
    assert "3 of the scenarios are in the training split" in (evaluated / "report.html").read_text()


def test_a_split_that_is_not_there_is_refused(trained_run: Path, data: Path, tmp_path: Path) -> None:
    for folder, split in ((data, "nonsense"), (data / "val", "nonsense"), (data / "train", "val")):
        with pytest.raises(InputError, match="expected scenarios of split"):
            evaluate_models([trained_run], folder, tmp_path, split=split)


def test_models_of_other_lengths_are_not_compared(trained_run: Path, data: Path, tmp_path: Path) -> None:
    short = load_model(trained_run)
    short = replace(short, training=replace(short.training, future_steps=12))
    with pytest.raises(InputError, match="expected models of the same number of observed and future steps, got"):
        evaluate_models([trained_run, short], data, tmp_path)


def test_a_split_without_a_usable_scenario_is_refused(trained_run: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    for path in (tmp_path / "data" / "val" / "data").iterdir():
        path.write_text("nonsense\n")
    with pytest.raises(InputError, match=r"expected scenarios to evaluate, got none\n5 of 5 scenarios"):
        evaluate_models([trained_run], tmp_path / "data", tmp_path / "out")


@pytest.mark.usefixtures("without_report")
def test_models_side_by_side_are_told_apart(
    trained_run: Path, make_run: Callable[..., ForecastRun], data: Path, tmp_path: Path
) -> None:
    for name, recipe in (("other seed", {"seed": 1}), ("scene", {"view": "scene"})):
        fit(make_run(tmp_path / name, {"passes": 1, **recipe}))
    shutil.copytree(trained_run, tmp_path / "a copy")
    runs = [trained_run, tmp_path / "other seed", tmp_path / "scene", tmp_path / "a copy"]
    metrics = evaluate_models(runs, data, tmp_path / "out", limit=2)
    names = {metrics["name"], *metrics["others"]}
    assert len(names) == len(runs) + 1
    assert metrics["name"].startswith("vectornet-llama (pairwise view) (seed 0)")
    assert any(name.endswith("[a copy]") for name in names)
    assert metrics["seconds_per_scene"].keys() == names - {BASELINE}
    members = [set(system["models"]) for system in metrics["systems"].values()]
    assert sorted(name for models in members for name in models) == sorted(names)
    assert max(map(len, members)) == 1, "one pass more or less makes another recipe; a copy is no further seed"


@pytest.mark.usefixtures("without_report")
def test_runs_that_differ_in_their_seed_alone_are_averaged(
    make_run: Callable[..., ForecastRun], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        fit(make_run(tmp_path / f"seed {seed}", {"passes": 1, "seed": seed}))
    fit(make_run(tmp_path / "scene", {"passes": 1, "view": "scene"}))
    runs = [tmp_path / "seed 0", tmp_path / "scene", tmp_path / "seed 1"]
    metrics = evaluate_models(runs, data, tmp_path / "out", limit=3)
    rows = {metrics["name"]: metrics} | metrics["others"]
    both, scene, baseline = metrics["systems"].items()
    assert both[0] == "vectornet-llama (pairwise view) (2 seeds)"
    assert both[1]["seeds"] == [0, 1]
    assert both[1]["models"] == [f"vectornet-llama (pairwise view) (seed {seed})" for seed in (0, 1)]
    values = [rows[name]["k6"]["min_fde"] for name in both[1]["models"]]
    assert both[1]["k6"]["min_fde"] == pytest.approx(np.mean(values))
    assert (scene[1]["seeds"], baseline[0], baseline[1]["seeds"]) == ([0], BASELINE, [None])
    pairs = [(found["first"], found["second"], tuple(found["trainings"])) for found in metrics["paired"]]
    assert pairs == [(both[0], scene[0], (2, 1)), (both[0], BASELINE, (2, 1)), (scene[0], BASELINE, (1, 1))]
    difference = metrics["paired"][0]["k6"]["min_fde"]["difference"]
    assert difference == pytest.approx(np.mean(values) - rows[scene[0]]["k6"]["min_fde"])
    assert f"{both[0]} against {scene[0]}: {difference:+.3f} m" in capsys.readouterr().out


def test_records_hold_a_row_for_each_scored_agent(evaluated: Path, metrics: dict) -> None:
    rows = pq.read_table(evaluated / "records.parquet").to_pylist()
    assert len(rows) == metrics["agents"]
    assert {row["model"] for row in rows} == {metrics["name"]}
    focal = [row for row in rows if row["focal"]]
    assert sorted(row["scenario"] for row in focal) == [str(name) for name in range(1, 6)]
    for name in CONTRACT:
        assert np.mean([row[f"k6_{name}"] for row in focal]) == pytest.approx(metrics["k6"][name])
        assert np.mean([row[f"k1_{name}"] for row in rows]) == pytest.approx(metrics["k1"]["all_agents"][name])
    assert {len(row["probabilities"]) for row in rows} == {6}
    assert {len(row["end_points"]) for row in rows} == {12}


@pytest.mark.usefixtures("without_report")
def test_a_model_that_is_loaded_already_is_scored_as_its_run(
    trained_run: Path, data: Path, metrics: dict, tmp_path: Path
) -> None:
    loaded = evaluate_models([load_model(trained_run), trained_run], data, tmp_path)
    assert (loaded["k6"], loaded["k1"]) == (metrics["k6"], metrics["k1"])
    assert loaded["name"] == "vectornet-llama [0]"
    assert "vectornet-llama [run]" in loaded["others"]


def test_without_a_run_there_is_nothing_to_evaluate(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at least one run, got none"):
        evaluate_models([], data, tmp_path)


@pytest.mark.usefixtures("without_report")
def test_the_size_of_a_batch_changes_no_number(trained_run: Path, data: Path, metrics: dict, tmp_path: Path) -> None:
    one_by_one = evaluate_models([trained_run], data, tmp_path, batch=1)
    for k in ("k1", "k6"):
        for name in CONTRACT:
            assert one_by_one[k][name] == pytest.approx(metrics[k][name], rel=1e-4), name
            assert one_by_one[k]["all_agents"][name] == pytest.approx(metrics[k]["all_agents"][name], rel=1e-4), name


@pytest.mark.usefixtures("without_report")
def test_a_shorter_past_and_a_nearer_horizon_are_scored_as_if_recorded_so(
    trained_run: Path, data: Path, tmp_path: Path
) -> None:
    metrics = evaluate_models([trained_run], data, tmp_path, history_steps=5, horizon_steps=10)
    assert (metrics["history_steps"], metrics["horizon_steps"]) == (5, 10)
    table = ForecastTable()
    model = load_model(trained_run).model
    for scenario in open_forecasting(data, "val").read_all(lambda *_: None):
        short = shorten(scenario, 5, 10)
        (forecast,) = model.forecast([short], [asked_agents(short)])
        table.add(short, replace(forecast, trajectories=forecast.trajectories[:, :, :10]))
    assert metrics["k6"]["min_fde"] == pytest.approx(table.as_json()["k6"]["min_fde"], rel=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"history_steps": 1}, "--history-steps 1: expected at least 2"),
        ({"horizon_steps": 31}, "--horizon-steps 31: expected from 1 to 30, which is as far as the models look"),
    ],
)
def test_lengths_that_models_cannot_do_are_refused(
    trained_run: Path, data: Path, tmp_path: Path, options: dict, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        evaluate_models([trained_run], data, tmp_path, **options)


@pytest.mark.usefixtures("without_report")
def test_a_model_of_argoverse_1_is_scored_on_the_nearer_horizon_of_argoverse_2(
    trained_run: Path, made_argoverse2: Path, tmp_path: Path
) -> None:
    metrics = evaluate_models([trained_run], made_argoverse2, tmp_path, history_steps=20, horizon_steps=30)
    assert (metrics["scenarios"], metrics["failures"]) == (4, {})


@pytest.mark.usefixtures("without_report")
def test_means_over_runs_and_mirror_images_are_columns_of_their_own(
    trained_run: Path, data: Path, metrics: dict, tmp_path: Path
) -> None:
    shutil.copytree(trained_run, tmp_path / "second")
    runs = [trained_run, tmp_path / "second"]
    found = evaluate_models(runs, data, tmp_path / "out", mirrored=True, ensemble=True)
    first = found["name"]
    assert found["k6"] == metrics["k6"], "what was asked about first stays as it is"
    columns = [*found["others"]]
    means = ["ensemble of 2", f"{first} + mirror images", "vectornet-llama [second] + mirror images"]
    assert columns == ["vectornet-llama [second]", *means, "ensemble of 2 + mirror images", BASELINE]
    assert found["others"]["ensemble of 2"]["k6"]["min_fde"] == pytest.approx(metrics["k6"]["min_fde"], rel=1e-5)
    mirrored = [found["others"][name]["k6"]["min_fde"] for name in (means[1], "ensemble of 2 + mirror images")]
    assert mirrored[0] == pytest.approx(mirrored[1], rel=1e-5)
    assert mirrored[0] != pytest.approx(metrics["k6"]["min_fde"], rel=1e-5)
    assert set(columns) | {first} == set(found["systems"])
    assert {row["model"] for row in pq.read_table(tmp_path / "out" / "records.parquet").to_pylist()} >= set(means)


def test_an_ensemble_of_one_is_refused(trained_run: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--ensemble: expected at least two runs, got 1"):
        evaluate_models([trained_run], data, tmp_path, ensemble=True)
