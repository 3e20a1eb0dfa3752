"""Charts of the report on classifiers of pictures."""

from __future__ import annotations

from matplotlib.figure import Figure

from perception_tools.report.theme import LINES, colour, figure_to_svg, quiet

_PANELS_IN_A_ROW = 5


def corruption_chart(numbers: dict, name: str) -> str:
    """A small panel for each corruption: accuracy of every model over the severities.

    Args:
        numbers: Of ImageNet-C, as metrics.json has them.
        name: Name of the figure, unique in its page.
    """
    models = {numbers["name"]: numbers} | numbers["others"]
    kinds = list(numbers["corruptions"])
    rows = -(-len(kinds) // _PANELS_IN_A_ROW)
    figure = Figure(figsize=(9.6, 1.9 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, _PANELS_IN_A_ROW, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in panels[len(kinds) :]:
        axes.set_axis_off()
    for axes, kind in zip(panels, kinds, strict=False):
        for number, (label, of) in enumerate(models.items()):
            values = [100 * value for value in of["corruptions"][kind]]
            line = colour(LINES[(number + 1) % len(LINES)])
            axes.plot(range(1, len(values) + 1), values, "o-", markersize=3, linewidth=1.4, color=line, label=label)
        axes.set_title(kind.replace("_", " "), fontsize=9, color=colour("ink"))
        axes.set_xticks(range(1, 6))
        axes.grid(visible=True, axis="y", color=colour("grid"), linewidth=0.6)
        quiet(axes)
    panels[0].set_ylim(bottom=0)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False, labelcolor=colour("ink"))
    return figure_to_svg(figure, name)
