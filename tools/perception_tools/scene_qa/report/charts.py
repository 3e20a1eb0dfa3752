"""Charts of the report on answers: scores by question type, and which answer is given for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from perception_tools.report.theme import LINES, colour, figure_to_svg, quiet
from perception_tools.scene_qa.published import LLAMA
from perception_tools.scene_qa.report.evaluation import SystemEvaluation

SHOWN_ANSWERS = 12
OTHER_ANSWER = "other"


def line_of(index: int, evaluation: SystemEvaluation) -> str:
    """The colour name of a system in the whole report: grey for oracles, the others apart."""
    return LINES[0] if evaluation.is_oracle else LINES[1 + index % (len(LINES) - 1)]


def type_chart(evaluations: Sequence[SystemEvaluation]) -> str:
    """EM@1 of every system as bars by question type (first token), with intervals.

    Where the questions are the published test split, the published LLaMA row stands below as outlines.
    """
    groups = [{"all": e.metrics, **e.types} for e in evaluations]
    types = ["all", *evaluations[0].types]
    published = np.array([LLAMA.em1, *LLAMA.by_type]) if evaluations[0].on_test_split else None
    bars = len(evaluations) + (published is not None)
    figure = Figure(figsize=(9.6, 0.5 + len(types) * (0.2 + 0.2 * bars)), layout="constrained")
    axes = figure.subplots()
    height, rows = 0.8 / bars, np.arange(len(types))
    legend = {}
    for index, (evaluation, group) in enumerate(zip(evaluations, groups, strict=True)):
        y, face = rows - 0.4 + height * (index + 0.5), colour(line_of(index, evaluation))
        legend[evaluation.name] = _draw_scores(axes, y, height, [group[t] for t in types], face)
    if published is not None:
        y = rows + 0.4 - height / 2
        outlines = axes.barh(y, published, height * 0.7, fill=False, edgecolor=colour("muted"))
        legend[f"published: {LLAMA.method}"] = outlines[0]
        _write_values(axes, y, published, published)
    axes.set_yticks(rows, [f"{t.capitalize()} ({groups[0][t]['questions']:,})" for t in types])
    axes.set_ylim(len(types) - 0.45, -0.55)
    axes.set_xlim(0, 108)
    axes.set_xlabel("EM@1, %")
    quiet(axes)
    axes.grid(visible=True, axis="x", color=colour("grid"), linewidth=0.6)
    axes.set_axisbelow(True)
    _draw_legend(figure, legend)
    return figure_to_svg(figure, "types")


def confusion_chart(evaluation: SystemEvaluation, name: str) -> str:
    """Counts of given answers for the most frequent true ones; the stronger a cell, the larger its share of the row."""
    shown, counts = confusion_matrix(evaluation)
    figure = Figure(figsize=(9.6, 0.9 + 0.32 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            if count:
                face = to_rgba(colour("mode" if row == column else "truth"), 0.08 + 0.72 * count / line.sum())
                axes.add_patch(Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, facecolor=face, linewidth=0))
                axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=colour("ink"))
    totals = [f"{answer} ({line.sum():,})" for answer, line in zip(shown, counts, strict=True)]
    axes.set_yticks(range(len(shown)), totals, parse_math=False)
    axes.set_xticks(
        range(len(shown) + 1), [*shown, OTHER_ANSWER], rotation=35, ha="right", rotation_mode="anchor", parse_math=False
    )
    axes.set_xlim(-0.5, len(shown) + 0.5)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_ylabel("true", color=colour("muted"), fontsize=9)
    axes.set_xlabel("given")
    quiet(axes)
    return figure_to_svg(figure, name)


def confusion_matrix(evaluation: SystemEvaluation) -> tuple[list[str], np.ndarray]:
    """The most frequent true answers, and how often each (rows) met each of them or any other answer (columns)."""
    pairs = evaluation.confusions()
    totals: dict[str, int] = {}
    for (true, _), count in pairs.items():
        totals[true] = totals.get(true, 0) + count
    shown = sorted(totals, key=lambda answer: (-totals[answer], answer))[:SHOWN_ANSWERS]
    place = {answer: index for index, answer in enumerate(shown)}
    counts = np.zeros((len(shown), len(shown) + 1), dtype=np.int64)
    for (true, given), count in pairs.items():
        if true in place:
            counts[place[true], place.get(given, len(shown))] += count
    return shown, counts


def _draw_scores(axes: Axes, y: np.ndarray, height: float, groups: Sequence[dict], face: str) -> Artist:
    """One system's bars with intervals and numbers; gives what stands for it in the legend."""
    means = 100 * np.array([group["em1"] for group in groups])
    low, high = 100 * np.array([group["interval"]["em1"] for group in groups]).T
    drawn = axes.barh(y, means, height * 0.82, color=face)
    axes.hlines(y, low, high, color=colour("ink"), linewidth=1.1)
    _write_values(axes, y, means, np.maximum(means, high))
    return drawn[0]


def _write_values(axes: Axes, y: np.ndarray, values: np.ndarray, ends: np.ndarray) -> None:
    """Each bar's number behind its end."""
    for at, value, end in zip(y, values, ends, strict=True):
        axes.text(end + 0.8, at, f"{value:.1f}", va="center", fontsize=8, color=colour("ink"))


def _draw_legend(figure: Figure, handles: dict[str, Artist]) -> None:
    """Systems above the chart; their names are whatever a user calls a file, so never mathematics."""
    drawn = figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper left",
        ncols=4,
        frameon=False,
        fontsize=9,
        labelcolor=colour("ink"),
    )
    for text in drawn.get_texts():
        text.set_parse_math(False)
