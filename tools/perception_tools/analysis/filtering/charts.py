"""The paper's Figure 4 for data of one's own: agreement by stage, and along the threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from perception.analysis.filtering import THRESHOLDS, Kind
from perception_tools.analysis.filtering.pictures import KINDS, STAGE_WORDS
from perception_tools.report.theme import LINES, colour, figure_to_svg, quiet

MARKS: Mapping[str, str] = {"magnitude": "o", "frequency": "s", "attention": "D"}
DASHES: Mapping[str, str] = {"magnitude": "-", "frequency": "--", "attention": ":"}
BASELINE_DASHES = {"random": (0, (1, 2)), "everything": (0, (5, 2))}


def line_of(model: int) -> str:
    """Colour of a model in the whole report."""
    return LINES[1 + model % (len(LINES) - 1)]


def stage_chart(models: Mapping[str, dict]) -> str:
    """Agreement of every stage and kind with its interval, over lines for what knows nothing of the record.

    Args:
        models: Name of a model → its numbers in filtering.json.
    """
    stages = _stages(models)
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    axes = figure.subplots()
    lanes = len(models) * len(MARKS)
    for model, numbers in enumerate(models.values()):
        shade = colour(line_of(model))
        for number, (kind, mark) in enumerate(MARKS.items()):
            shift = ((model * len(MARKS) + number) - (lanes - 1) / 2) * 0.7 / lanes
            found = [stage for stage in stages if kind in numbers["miou"].get(stage, {})]
            x = np.array([stages.index(stage) for stage in found]) + shift
            y = [numbers["miou"][stage][kind] for stage in found]
            face = shade if kind == "magnitude" else "none"
            axes.plot(x, y, mark, color=shade, markersize=6, markerfacecolor=face)
            for at, stage in zip(x, found, strict=True):
                axes.plot([at, at], numbers["interval"][stage][kind], color=shade, linewidth=1.4)
    _draw_baselines(axes, next(iter(models.values()))["baselines"])
    axes.set_xticks(range(len(stages)), [STAGE_WORDS[stage] for stage in stages])
    axes.set_xlim(-0.5, len(stages) + 0.35)
    axes.set_ylabel("mIoU, best threshold of each record", color=colour("muted"), fontsize=9)
    quiet(axes)
    axes.grid(visible=True, axis="y", color=colour("grid"), linewidth=0.6)
    _legend(figure, models, lines=False)
    return figure_to_svg(figure, "stages")


def sweep_chart(models: Mapping[str, dict]) -> str:
    """Mean IoU along the threshold, a panel a stage."""
    stages = _stages(models)
    figure = Figure(figsize=(9.6, 2.5 + 0.25 * (len(models) > 2)), layout="constrained")
    panels = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
    for axes, stage in zip(panels, stages, strict=True):
        for model, numbers in enumerate(models.values()):
            for kind, curve in numbers["sweep"].get(stage, {}).items():
                axes.plot(THRESHOLDS, curve, color=colour(line_of(model)), linestyle=DASHES[kind], linewidth=1.6)
        axes.set_title(STAGE_WORDS[stage], fontsize=9.5, color=colour("ink"))
        axes.set_xticks([0.1, 0.5, 0.9])
        axes.set_xlabel("threshold")
        quiet(axes)
        axes.grid(visible=True, color=colour("grid"), linewidth=0.6)
    panels[0].set_ylabel("mean IoU", color=colour("muted"), fontsize=9)
    _legend(figure, models, lines=True)
    return figure_to_svg(figure, "sweep")


def _stages(models: Mapping[str, dict]) -> list[str]:
    return [stage for stage in STAGE_WORDS if any(stage in numbers["miou"] for numbers in models.values())]


def _draw_baselines(axes: Axes, baselines: Mapping[str, dict]) -> None:
    """Lines with their names at the right end, the higher ones pushed up where they would touch."""
    (low, high), written = axes.get_ylim(), -1.0
    for name, numbers in sorted(baselines.items(), key=lambda item: item[1]["miou"]):
        y = numbers["miou"]
        dashes = BASELINE_DASHES.get(name, (0, (3, 1.5)))
        axes.axhline(y, color=colour("muted"), linewidth=1.0, linestyle=dashes, zorder=0)
        written = max(y, written + 0.05 * (high - low))
        at, above = (1.0, written), (0, 2)
        style: dict[str, Any] = {"color": colour("muted"), "fontsize": 8.5, "va": "bottom", "ha": "right"}
        axes.annotate(name, at, above, ("axes fraction", "data"), textcoords="offset points", **style)


def _legend(figure: Figure, models: Mapping[str, dict], *, lines: bool) -> None:
    """What colours and marks mean; the kinds are told apart by their lines or by their marks."""
    handles = [Line2D([], [], color=colour(line_of(i)), linewidth=3, label=name) for i, name in enumerate(models)]
    ink = colour("ink")
    for kind in get_args(Kind):
        face = ink if kind == KINDS[0] else "none"
        style: dict[str, Any] = (
            {"linestyle": DASHES[kind]} if lines else {"linestyle": "", "marker": MARKS[kind], "mfc": face}
        )
        handles.append(Line2D([], [], color=ink, label=kind, **style))
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=min(len(handles), 5),
        frameon=False,
        fontsize=9,
        labelcolor=colour("ink"),
    )
