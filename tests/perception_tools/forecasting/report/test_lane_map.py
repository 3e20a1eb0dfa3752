from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba, to_rgba_array
from matplotlib.figure import Figure

from perception.geometry import SE2
from perception.traffic.scenario import PolylineKind
from perception_tools.forecasting.report.lane_map import draw_map
from perception_tools.report.theme import COLOURS, colour


def drawn(lanes, points_per_m: float = 2.0):
    axes = Figure(figsize=(4, 4)).add_axes((0, 0, 1, 1))
    axes.set_xlim(-20, 20)
    axes.set_ylim(-20, 20)
    draw_map(axes, lanes, SE2(0.0, 0.0, 0.0), points_per_m)
    return axes


def ribbons(axes, name: str) -> list[LineCollection]:
    """The line collections drawn in a named colour."""
    lines = [c for c in axes.collections if isinstance(c, LineCollection) and len(c.get_segments())]
    return [line for line in lines if to_rgba_array(line.get_colors()).tolist() == [list(to_rgba(colour(name)))]]


def width(ribbon: LineCollection) -> float:
    """Typographic points."""
    return float(np.ravel(ribbon.get_linewidth())[0])


@pytest.fixture
def lanes(make_scenario):
    return make_scenario().map


def test_road_is_as_wide_as_argoverse_lanes_and_has_a_rim(lanes):
    axes = drawn(lanes, points_per_m=2.0)
    (road,), (kerb,) = ribbons(axes, "road"), ribbons(axes, "kerb")
    assert width(road) == pytest.approx(7.6)
    assert width(kerb) > width(road)
    assert kerb.zorder < road.zorder


def test_intersections_and_crosswalks_can_be_told_from_road(lanes):
    axes = drawn(lanes)
    assert len(ribbons(axes, "junction")[0].get_segments()) == 1
    assert len(ribbons(axes, "stripe")[0].get_segments()) == 1
    assert len(ribbons(axes, "road")[0].get_segments()) == 2


def test_bike_lanes_are_narrower_than_road(lanes):
    kinds = np.array([PolylineKind.BIKE_LANE, PolylineKind.VEHICLE_LANE, PolylineKind.CROSSWALK], dtype=np.int64)
    axes = drawn(replace(lanes, kinds=kinds))
    assert width(ribbons(axes, "bikeway")[0]) < width(ribbons(axes, "road")[0])


def test_what_lies_outside_the_view_is_not_drawn(lanes):
    axes = drawn(replace(lanes, points=lanes.points + 500.0))
    assert not any(ribbons(axes, name) for name in COLOURS)
