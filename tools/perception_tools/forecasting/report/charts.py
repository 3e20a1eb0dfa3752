"""Charts of a report: scores with their intervals, and learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from perception_tools.forecasting.report.evaluation import Evaluation
from perception_tools.report.theme import LINES, colour, figure_to_svg, quiet

PANELS_IN_A_ROW = 3


def model_colour(index: int) -> str:
    """The colour of the i-th model in every chart of a report."""
    return colour(LINES[index % len(LINES)])


def interval_chart(evaluations: Sequence[Evaluation], metrics: Mapping[str, str]) -> str:
    """Mean and 95 % interval of every model, one panel a metric. The bars do not tell models apart: differences do.

    Args:
        evaluations: One row each, the first on top.
        metrics: Name in `metrics.json` under k6 → what to call it.
    """
    figure = Figure(figsize=(9.6, 0.75 + 0.34 * len(evaluations)), layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, (metric, label) in zip(panels, metrics.items(), strict=True):
        for row, evaluation in enumerate(evaluations):
            low, high = evaluation.metrics["interval"]["k6"][metric]
            mean = evaluation.metrics["k6"][metric]
            axes.plot([low, high], [row, row], color=model_colour(row), linewidth=2.4, solid_capstyle="round")
            axes.plot(mean, row, color=model_colour(row), marker="o", markersize=6)
        axes.set_xlabel(label)
        axes.margins(x=0.08)
        quiet(axes)
        axes.grid(visible=True, axis="x", color=colour("grid"), linewidth=0.6)
    panels[0].set_yticks(range(len(evaluations)), [evaluation.name for evaluation in evaluations])
    panels[0].set_ylim(len(evaluations) - 0.5, -0.5)
    return figure_to_svg(figure, "intervals")


def learning_curves(evaluations: Sequence[Evaluation]) -> str:
    """One panel for each quantity that was logged; thin lines are training values."""
    keys = [key for evaluation in evaluations for key in evaluation.curves]
    quantities = list(dict.fromkeys(key.rpartition("/")[2] for key in keys))
    columns = min(PANELS_IN_A_ROW, len(quantities))
    rows = -(-len(quantities) // columns)
    figure = Figure(figsize=(9.6, 2.4 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(quantities) :]:
        axes.set_axis_off()
    for axes, quantity in zip(panels, quantities, strict=False):
        for index, evaluation in enumerate(evaluations):
            for key, points in evaluation.curves.items():
                split, _, name = key.rpartition("/")
                if name == quantity and points:
                    training = split.startswith("train")
                    width, alpha = (0.9, 0.55) if training else (1.9, 1.0)
                    steps, values = zip(*points, strict=True)
                    axes.plot(steps, values, color=model_colour(index), linewidth=width, alpha=alpha)
        axes.set_title(quantity.replace("_", " "), fontsize=10, color=colour("ink"))
        axes.set_xlabel("step")
        quiet(axes)
        axes.grid(visible=True, color=colour("grid"), linewidth=0.6)
    return figure_to_svg(figure, "curves")
