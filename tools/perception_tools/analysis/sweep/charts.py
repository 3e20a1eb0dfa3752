"""Plots of a sweep: every seed of every cell with mean and interval, and metrics along a numeric field."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from perception_tools.analysis.sweep.table import short_names
from perception_tools.report.theme import LINES, colour, figure_to_svg, quiet

PANELS_IN_A_ROW = 2
WIDE_RATIO = 10
"""From this ratio of the largest to the smallest value on, a field's axis is logarithmic."""
MOST_TICKS = 16
"""On an axis."""
MOST_INTERVALS = 6
"""Between the ticks of a metric's axis, so that numbers of four decimals do not run into each other."""
LEGEND_CHARACTERS = 100
"""In a row of a legend."""
SEEDS_BELOW = 0.22
"""How far seeds are drawn below their interval, in rows."""


def seed_chart(table: dict) -> str:
    """One panel a metric: small dots are seeds, the large dot is their mean, the line its interval."""
    metrics, cells = list(table["metrics"]), table["cells"]
    rows = -(-len(metrics) // PANELS_IN_A_ROW)
    figure = Figure(figsize=(9.6, rows * (0.9 + 0.34 * len(cells))), layout="constrained")
    panels = figure.subplots(rows, PANELS_IN_A_ROW, sharey=True, squeeze=False).ravel()
    for axes in panels[len(metrics) :]:
        axes.set_axis_off()
    for axes, metric in zip(panels, metrics, strict=False):
        for row, cell in enumerate(cells):
            _draw_cell(axes, row, cell["metrics"][metric])
        axes.set_xlabel(f"{metric}, {direction(table['metrics'][metric])}")
        axes.xaxis.set_major_locator(MaxNLocator(MOST_INTERVALS))
        _tone_down(axes, "x")
    panels[0].set_yticks(range(len(cells)), list(short_names(table).values()))
    panels[0].set_ylim(len(cells) - 0.5, -0.5)
    return figure_to_svg(figure, "seeds")


def _draw_cell(axes: Axes, row: int, summary: dict) -> None:
    values = list(summary["values"].values())
    if len(values) > 1:
        axes.plot(values, [row + SEEDS_BELOW] * len(values), ".", color=colour("muted"), markersize=5, alpha=0.7)
    if summary["interval"]:
        axes.plot(summary["interval"], [row, row], color=colour("line1"), linewidth=2.0, solid_capstyle="round")
    if summary["mean"] is not None:
        axes.plot(summary["mean"], row, "o", color=colour("line1"), markersize=6)


def numeric_field(table: dict) -> str | None:
    """The first swept field whose values are at least two different numbers, or layers of one language model."""
    for name, values in table["over"].items():
        places = {str(value).partition("#")[0] for value in values if isinstance(value, str)}
        if len(values) > 1 and len(places) <= 1 and all(position(value) is not None for value in values):
            return name
    return None


def position(value: Any) -> float | None:
    """Where a field's value lies on an axis: itself, or the index of the layer that a block's URI names."""
    if isinstance(value, str):
        layer = re.fullmatch(r"[^#]*#(\d+)", value)
        return float(layer[1]) if layer else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def line_chart(table: dict, field: str) -> str:
    """Mean and interval of every metric along a numeric field; one line for each combination of the other settings.

    Cells without the field are level lines.
    """
    metrics, lines = list(table["metrics"]), _lines(table, field)
    places = [place for value in table["over"][field] if (place := position(value)) is not None]
    rows = -(-len(metrics) // PANELS_IN_A_ROW)
    figure = Figure(figsize=(9.6, 2.9 * rows + 0.25 * len(lines)), layout="constrained")
    panels = figure.subplots(rows, PANELS_IN_A_ROW, squeeze=False).ravel()
    for axes in panels[len(metrics) :]:
        axes.set_axis_off()
    for axes, metric in zip(panels, metrics, strict=False):
        for index, (label, cells) in enumerate(lines.items()):
            _draw_line(axes, field, cells, metric, label, colour(LINES[(index + 1) % len(LINES)]))
        if _is_wide(places):
            axes.set_xscale("log")
        axes.set_title(f"{metric}, {direction(table['metrics'][metric])}", fontsize=10, color=colour("ink"))
        axes.set_xlabel("layer" if isinstance(table["over"][field][0], str) else field)
        step = -(-len(places) // MOST_TICKS)
        axes.set_xticks(places[::step], [f"{place:g}" for place in places[::step]], minor=False)
        axes.minorticks_off()
        _tone_down(axes, "both")
    if len(lines) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        columns = max(1, LEGEND_CHARACTERS // (max(map(len, labels)) + 6))
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, labelcolor=colour("ink"))
    return figure_to_svg(figure, "lines")


def _lines(table: dict, field: str) -> dict[str, list[dict]]:
    """Cells that differ in one field only, by what they share, in the order of that field's values."""
    others = {name: values for name, values in table["over"].items() if name != field}
    shared = short_names({**table, "over": others})
    lines: dict[str, list[dict]] = {}
    for cell in table["cells"]:
        lines.setdefault(shared[cell["name"]], []).append(cell)
    return {label: sorted(cells, key=lambda cell: _place(cell, field) or 0) for label, cells in lines.items()}


def _place(cell: dict, field: str) -> float | None:
    return position(cell["settings"].get(field))


def _draw_line(axes: Axes, field: str, cells: Sequence[dict], metric: str, label: str, line_colour: str) -> None:
    known = [cell for cell in cells if cell["metrics"][metric]["mean"] is not None]
    for cell in known:
        if _place(cell, field) is None:
            axes.axhline(cell["metrics"][metric]["mean"], color=line_colour, linewidth=1.2, linestyle="--", label=label)
    points = [(place, cell["metrics"][metric]) for cell in known if (place := _place(cell, field)) is not None]
    if not points:
        return
    means = [summary["mean"] for _, summary in points]
    axes.plot([x for x, _ in points], means, "o-", color=line_colour, markersize=5, linewidth=1.6, label=label)
    for x, summary in points:
        if summary["interval"]:
            axes.plot([x, x], summary["interval"], color=line_colour, linewidth=1.2, alpha=0.6)


def _is_wide(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) >= WIDE_RATIO


def direction(better: str) -> str:
    """What `min` or `max` says of a metric."""
    return "lower is better" if better == "min" else "higher is better"


def _tone_down(axes: Axes, grid: Any) -> None:
    axes.margins(x=0.08)
    quiet(axes)
    axes.grid(visible=True, axis=grid, color=colour("grid"), linewidth=0.6)
