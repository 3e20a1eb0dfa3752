"""A whole map as a picture, to see whether a conversion went well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from perception.files import whole_file
from perception.geometry import SE2
from perception.traffic.scenario import MapPolylines, PolylineKind
from perception_tools.forecasting.report.lane_map import draw_map
from perception_tools.report.theme import colour

LONGEST_INCHES, TITLE_INCHES, DPI = 12.0, 0.4, 150
MARGIN_M = 12.0
_POINTS_PER_INCH = 72.0


def draw_map_picture(path: Path, lanes: MapPolylines, name: str) -> None:
    """Draws a map to a PNG file: north is up, and a bar tells the scale. Lanes with traffic control end in a dot.

    Args:
        path: The file.
        lanes: The map, not empty.
        name: Name of the map, for the title.
    """
    low = lanes.points.min(axis=(0, 1)) - MARGIN_M
    high = lanes.points.max(axis=(0, 1)) + MARGIN_M
    inches_per_m = LONGEST_INCHES / float((high - low).max())
    width, height = np.maximum((high - low) * inches_per_m, 3.0)
    figure = Figure(figsize=(width, height + TITLE_INCHES), facecolor=colour("ground"))
    axes = figure.add_axes((0, 0, 1, height / (height + TITLE_INCHES)))
    axes.set_axis_off()
    middle, half = (low + high) / 2, np.array([width, height]) / inches_per_m / 2
    axes.set_xlim(middle[0] - half[0], middle[0] + half[0])
    axes.set_ylim(middle[1] - half[1], middle[1] + half[1])
    draw_map(axes, lanes, SE2(0.0, 0.0, 0.0), _POINTS_PER_INCH * inches_per_m)
    ends = lanes.points[lanes.has_traffic_control & (lanes.kinds != PolylineKind.CROSSWALK), -1]
    axes.scatter(ends[:, 0], ends[:, 1], s=12, color=colour("truth"), zorder=1.0, linewidths=0)
    bar_m = _round_length(0.2 * width / inches_per_m)
    left, bottom = axes.get_xlim()[0] + 0.3 / inches_per_m, axes.get_ylim()[0] + 0.3 / inches_per_m
    axes.plot([left, left + bar_m], [bottom, bottom], color=colour("ink"), linewidth=2, zorder=2.0)
    axes.text(left, bottom + 0.08 / inches_per_m, f"{bar_m:g} m", color=colour("ink"), fontsize=9, zorder=2.0)
    title = f"{name}: {len(lanes)} polylines"
    figure.text(0.01, 1 - 0.5 * TITLE_INCHES / (height + TITLE_INCHES), title, va="center", color=colour("ink"))
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)


def _round_length(most_m: float) -> float:
    """Returns 1, 2 or 5 times a power of ten, at most `most_m`."""
    power = 10.0 ** np.floor(np.log10(most_m))
    return float(power * max(step for step in (0.5, 1, 2, 5) if step * power <= most_m))
