"""Damaged copies of every file that a forecasting scenario is read from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.argoverse.argoverse2_sensor import read_log
from perception_datasets.argoverse.submissions import (
    GivenForecast,
    read_submission,
    write_argoverse1,
    write_argoverse2,
)
from perception_datasets.forecasting import open_forecasting


def _read_argoverse1(folder: Path) -> None:
    open_forecasting(folder, "val")[0].require_focal()


def _read_argoverse2(folder: Path) -> None:
    open_forecasting(folder, "val")[0].require_focal()


def _read_sensor_log(folder: Path) -> None:
    scenario = read_log(folder / "log0").scenario(0, history_steps=5, future_steps=5)
    scenario.require_plausible()
    scenario.require_focal()


def test_damaged_scenes_of_argoverse_1_are_read_or_refused(
    fuzz: Callable[..., None], write_argoverse1: Callable[..., Path], tmp_path: Path
) -> None:
    fuzz(_read_argoverse1, write_argoverse1(tmp_path / "seeds", val=1))


def test_damaged_scenarios_of_argoverse_2_are_read_or_refused(
    fuzz: Callable[..., None], made_argoverse2: Path, tmp_path: Path
) -> None:
    folder = sorted((made_argoverse2 / "val").iterdir())[0]
    shutil.copytree(folder, tmp_path / "seeds" / "val" / folder.name)
    fuzz(_read_argoverse2, tmp_path / "seeds")


def test_damaged_sensor_logs_are_read_or_refused(fuzz: Callable[..., None], sensor_log: Path, tmp_path: Path) -> None:
    shutil.copytree(sensor_log, tmp_path / "seeds" / "log0")
    fuzz(_read_sensor_log, tmp_path / "seeds")


def _read_submissions(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        for given in read_submission(path).values():
            assert np.isfinite(given.trajectories).all()
            np.testing.assert_allclose(given.probabilities.sum(axis=1), 1)


def test_damaged_submissions_are_read_or_refused(fuzz: Callable[..., None], tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    for steps, write, name in ((60, write_argoverse2, "f.parquet"), (30, write_argoverse1, "f.h5")):
        trajectories = np.arange(2 * steps * 2.0).reshape(1, 2, steps, 2)
        write(seeds / name, [("7", GivenForecast(("t",), trajectories, np.array([[0.75, 0.25]])))])
    fuzz(_read_submissions, seeds)


SENSOR_CASES = ("14", "19", "72", "318")
"""A coordinate of 10³⁰ m; wrong bits in the offsets of texts, which once ended the process."""


@pytest.mark.parametrize("case", SENSOR_CASES)
def test_sensor_logs_that_once_crashed_or_passed_are_refused(
    case: str, corpus: Path, sensor_log: Path, tmp_path: Path
) -> None:
    shutil.copytree(sensor_log, tmp_path / "log0")
    _read_sensor_log(tmp_path)
    shutil.copytree(corpus / "sensor_log" / case, tmp_path, dirs_exist_ok=True)
    with pytest.raises(InputError, match=r"annotations\.feather: |log_map_archive_.*: lane"):
        _read_sensor_log(tmp_path)


def test_a_scene_of_argoverse_1_that_once_passed_is_refused(
    corpus: Path, write_argoverse1: Callable[..., Path], tmp_path: Path
) -> None:
    write_argoverse1(tmp_path, val=1)
    _read_argoverse1(tmp_path)
    shutil.copytree(corpus / "argoverse1" / "174", tmp_path, dirs_exist_ok=True)
    with pytest.raises(InputError, match=r"column Y, row 86: expected a number from .*, found 1e\+300"):
        _read_argoverse1(tmp_path)
