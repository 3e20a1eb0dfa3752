"""The map under a forecast: lanes as road, crosswalks as stripes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.typing import CapStyleType

from perception.geometry import SE2
from perception.traffic.scenario import MapPolylines, PolylineKind
from perception_tools.report.theme import colour

LANE_WIDTH_M = 3.8
"""Argoverse 1's own polygons reach 1.9 m to either side of the centreline."""

BIKE_LANE_WIDTH_M, CROSSWALK_WIDTH_M, KERB_M = 1.8, 3.0, 0.35


def draw_map(axes: Axes, lanes: MapPolylines, picture_SE2_city: SE2, points_per_m: float) -> None:
    """Draws the polylines that reach into the axes, whose limits must be set.

    Road is drawn as broad lines over slightly broader kerb lines, so that neighbouring lanes melt into one surface
    with a rim, as on a printed map.

    Args:
        axes: With equal aspect.
        lanes: City frame.
        picture_SE2_city: Where the city lies in the picture.
        points_per_m: Typographic points that a metre takes in the axes.
    """
    lines = picture_SE2_city.apply(lanes.points)
    seen = _reaches_into(axes, lines)
    crosswalk = lanes.kinds == PolylineKind.CROSSWALK
    bikeway = lanes.kinds == PolylineKind.BIKE_LANE
    road = seen & ~crosswalk & ~bikeway

    def ribbon(which: np.ndarray, name: str, width_m: float, layer: float, cap: CapStyleType = "round") -> None:
        width = width_m * points_per_m
        lines_drawn = LineCollection(list(lines[which]), colors=colour(name), linewidths=width, zorder=layer)
        lines_drawn.set_capstyle(cap)
        lines_drawn.set_joinstyle("round")
        axes.add_collection(lines_drawn, autolim=False)

    ribbon(road, "kerb", LANE_WIDTH_M + 2 * KERB_M, 0.0)
    ribbon(seen & bikeway, "kerb", BIKE_LANE_WIDTH_M + 2 * KERB_M, 0.0)
    ribbon(road, "road", LANE_WIDTH_M, 0.1)
    ribbon(road & lanes.is_intersection, "junction", LANE_WIDTH_M, 0.2, cap="butt")
    ribbon(seen & bikeway, "bikeway", BIKE_LANE_WIDTH_M, 0.3, cap="butt")
    _draw_stripes(axes, lines[seen & crosswalk], points_per_m)
    _draw_centrelines(axes, lines[road])


def _reaches_into(axes: Axes, lines: Float[np.ndarray, "lanes points 2"]) -> np.ndarray:
    """Which lines' bounding boxes touch the view."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    low, high = lines.min(axis=1) - LANE_WIDTH_M, lines.max(axis=1) + LANE_WIDTH_M
    return (low[:, 0] < right) & (high[:, 0] > left) & (low[:, 1] < top) & (high[:, 1] > bottom)


def _draw_stripes(axes: Axes, lines: Float[np.ndarray, "crosswalks points 2"], points_per_m: float) -> None:
    """A crosswalk is a broad line along its axis, broken into stripes half a metre long."""
    width = CROSSWALK_WIDTH_M * points_per_m
    dash = 0.5 * points_per_m / width
    stripes = LineCollection(
        list(lines), colors=colour("stripe"), linewidths=width, linestyles=(0, (dash, dash)), zorder=0.4
    )
    stripes.set_capstyle("butt")
    axes.add_collection(stripes, autolim=False)


def _draw_centrelines(axes: Axes, lines: Float[np.ndarray, "lanes points 2"]) -> None:
    """A fine line along each lane with one arrowhead that points where traffic goes."""
    axes.add_collection(
        LineCollection(list(lines), colors=colour("centreline"), linewidths=0.6, zorder=0.5), autolim=False
    )
    if not len(lines):
        return
    middle = lines.shape[1] // 2
    at, along = lines[:, middle], lines[:, middle] - lines[:, middle - 1]
    long_enough = np.linalg.norm(lines[:, -1] - lines[:, 0], axis=-1) > 2 * LANE_WIDTH_M
    at, along = at[long_enough], along[long_enough]
    along = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    left = np.stack([-along[:, 1], along[:, 0]], axis=-1)
    barbs = np.stack([at - 0.8 * along + 0.5 * left, at, at - 0.8 * along - 0.5 * left], axis=1)
    axes.add_collection(
        LineCollection(list(barbs), colors=colour("centreline"), linewidths=0.8, zorder=0.5), autolim=False
    )
