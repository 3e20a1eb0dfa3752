"""Damaged copies of every file that a forecasting scenario is read from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from perception_datasets.argoverse.argoverse2_sensor import read_log
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
