"""Rounded scenarios are those of files that state fewer decimals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.traffic.motion import causal_velocity
from perception_datasets.forecasting import open_forecasting
from perception_datasets.rounding import MOST_DECIMALS, rounded


def test_no_number_moves_by_more_than_half_of_its_last_decimal(made_argoverse2: Path) -> None:
    for scenario in open_forecasting(made_argoverse2, "val"):
        fewer = rounded(scenario, 2)
        for name, half in (("position", 0.005), ("velocity", 0.005), ("heading", 0.0005)):
            before, after = getattr(scenario.agents, name), getattr(fewer.agents, name)
            assert 0 < np.abs(after - before).max() <= half * (1 + 1e-6), name
            assert not np.signbit(after[after == 0]).any()
        assert (fewer.agents.valid == scenario.agents.valid).all()
        assert fewer.map is scenario.map
        again = rounded(fewer, 2)
        np.testing.assert_array_equal(again.agents.position, fewer.agents.position)


def test_motion_that_is_estimated_follows_from_the_rounded_positions(argoverse1: Path, tmp_path: Path) -> None:
    """As if the files had been written so."""
    folder = open_forecasting(argoverse1, "val")
    for path in folder.paths:
        first, *rows = path.read_text().splitlines()
        cells = [row.split(",") for row in rows]
        written = [",".join([*c[:3], f"{round(float(c[3]), 1)}", f"{round(float(c[4]), 1)}", c[5]]) for c in cells]
        target = tmp_path / "coarse" / "val" / "data" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join([first, *written]) + "\n")
    (tmp_path / "coarse" / "map_files").symlink_to(argoverse1 / "map_files")
    for one, other in zip(folder, open_forecasting(tmp_path / "coarse", "val"), strict=True):
        fewer = rounded(one, 1)
        for name in ("position", "heading", "velocity"):
            np.testing.assert_array_equal(getattr(fewer.agents, name), getattr(other.agents, name), err_msg=name)


def test_positions_of_an_integer_are_left_alone(make_scenario) -> None:
    scenario = make_scenario()
    whole = replace(scenario, agents=replace(scenario.agents, position=np.round(scenario.agents.position)))
    np.testing.assert_array_equal(rounded(whole, 3).agents.position, whole.agents.position)
    assert causal_velocity(whole.agents.position, whole.agents.valid, 4).any()


@pytest.mark.parametrize("decimals", [-1, 0, MOST_DECIMALS + 1])
def test_other_numbers_of_decimals_are_refused(make_scenario, decimals: int) -> None:
    with pytest.raises(InputError, match=f"decimals: expected 1 to 6, got {decimals}; 2 keeps centimetres"):
        rounded(make_scenario(), decimals)
