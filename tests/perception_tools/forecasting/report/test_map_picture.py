from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from perception_tools.forecasting.report.map_picture import _round_length, draw_map_picture


def test_a_map_keeps_its_proportions_and_shows_road_ground_and_control(make_scenario, tmp_path: Path) -> None:
    lanes = make_scenario().map
    draw_map_picture(tmp_path / "plain.png", lanes, "town")
    plain = imread(tmp_path / "plain.png")
    assert plain.shape[1] == 1800  # 12 inches, the map is broader than high
    assert len(np.unique(plain.reshape(-1, plain.shape[2]), axis=0)) > 5
    controlled = replace(lanes, has_traffic_control=np.ones(len(lanes), bool))
    draw_map_picture(tmp_path / "control.png", controlled, "town")
    assert (imread(tmp_path / "control.png") != plain).any()


@given(st.floats(1e-3, 1e6))
def test_the_scale_has_a_round_length_that_fits(most_m: float) -> None:
    length = _round_length(most_m)
    assert 0.39 * most_m <= length <= most_m * (1 + 1e-9)
    first, *rest = f"{length:.6e}".partition("e")[0].strip("0").replace(".", "")
    assert first in "125"
    assert rest == []
