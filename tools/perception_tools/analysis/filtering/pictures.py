"""The paper's Figure 3 for a record of one's own: what stands out at each stage, one model below the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from perception.analysis.filtering import threshold_ious
from perception_tools.analysis.filtering.measure import Example, Place, threshold_of_best
from perception_tools.report.theme import colour, figure_to_svg

COLOURS = colormaps["inferno"]
"""From dark (0) to bright (1), also for the colour-blind and in print."""
STAGE_WORDS = {
    "encoder": "encoder",
    "project_in": "project_in",
    "attention": "attention",
    "feed_forward": "feed-forward",
    "project_out": "project_out",
    "output": "output",
}
KINDS = ("magnitude", "frequency")
LOOKS = "where it looks"
RASTER_DPI = 170
"""Of what a task draws as pixels, such as maps with hundreds of lines."""
_HEAD_INCHES, _FOOT_INCHES, _SIDE_INCHES, _GAP_INCHES = 0.28, 0.2, 1.2, 0.08


def heat_colours(activations: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 3"]:
    """Colours of activations from 0 to 1."""
    return COLOURS(activations)[..., :3]


def heat_over(
    picture: UInt8[np.ndarray, "height width 3"], heat: Float[np.ndarray, "rows columns"], share: float = 0.62
) -> UInt8[np.ndarray, "height width 3"]:
    """A picture in grey under the colours of its patches.

    Args:
        picture: The picture.
        heat: Activation of each patch; rows and columns divide the picture's sides.
        share: How much of the result is heat.
    """
    grey = picture.astype(np.float64).mean(-1, keepdims=True) / 255
    repeats = picture.shape[0] // heat.shape[0], picture.shape[1] // heat.shape[1]
    colours = heat_colours(np.kron(heat, np.ones(repeats)))
    return np.round(255 * (share * colours + (1 - share) * (0.25 + 0.75 * grey))).astype(np.uint8)


def example_inches(example: Example) -> float:
    """Width of the drawing of a record, at which its text has the size of a caption."""
    stages, looks = _columns(example)
    return _SIDE_INCHES + (1 + len(stages) + looks) * (example.views[0].inches[0] + _GAP_INCHES)


def _columns(example: Example) -> tuple[list[str], bool]:
    """The stages that any model has, and whether it is known of any where it looks."""
    stages = [stage for stage in STAGE_WORDS if any(stage in view.stages for view in example.views)]
    return stages, any(view.attention is not None for view in example.views)


def example_svg(example: Example, names: Sequence[str], name: str) -> str:
    """A record as inline SVG: the record itself with its target, then for each model and kind every stage.

    Args:
        example: The record.
        names: Name of each model.
        name: Unique on the page.
    """
    stages, looks = _columns(example)
    rows, (width, height) = len(names) * len(KINDS), example.views[0].inches
    total_width = example_inches(example)
    total_height = _HEAD_INCHES + rows * (height + _FOOT_INCHES)
    figure = Figure(figsize=(total_width, total_height), dpi=RASTER_DPI)

    def panel(row: int, column: int) -> Axes:
        left = _SIDE_INCHES + column * (width + _GAP_INCHES)
        top = _HEAD_INCHES + row * (height + _FOOT_INCHES)
        box = (left, total_height - top - height, width, height)
        axes = figure.add_axes(tuple(v / (total_width, total_height)[i % 2] for i, v in enumerate(box)))
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_visible(False)
        return axes

    def write(inches: tuple[float, float], text: str, **style: object) -> None:
        at = inches[0] / total_width, 1 - inches[1] / total_height
        figure.text(*at, text, **{"color": colour("ink"), "fontsize": 8.5, "va": "center", **style})

    def draw(row: int, column: int, model: int, place: Place) -> None:
        view, values = example.views[model], example.activations[model][place]
        view.draw(panel(row, column), values)
        if view.target is not None:
            best, threshold = threshold_of_best(threshold_ious(values, view.target, view.counted))
            x = _SIDE_INCHES + column * (width + _GAP_INCHES) + width / 2
            y = _HEAD_INCHES + (row + 1) * (height + _FOOT_INCHES) - 0.6 * _FOOT_INCHES
            write((x, y), f"IoU {best:.2f} at {threshold}", ha="center", fontsize=7, color=colour("muted"))

    example.views[0].draw(panel(0, 0), None)
    titles = ["target" if example.views[0].target is not None else "", *(STAGE_WORDS[s] for s in stages)]
    for column, title in enumerate([*titles, LOOKS] if looks else titles):
        write((_SIDE_INCHES + column * (width + _GAP_INCHES) + width / 2, _HEAD_INCHES / 2), title, ha="center")
    for model, (view, activations) in enumerate(zip(example.views, example.activations, strict=True)):
        for number, kind in enumerate(KINDS):
            row = model * len(KINDS) + number
            middle = _HEAD_INCHES + row * (height + _FOOT_INCHES) + height / 2
            if number == 0:
                write((0.02, middle - 0.16), _short(names[model]), fontweight="bold")
            write((0.02, middle), kind, color=colour("muted"))
            for column, stage in enumerate(stages):
                if (stage, kind) in activations:
                    draw(row, 1 + column, model, (stage, kind))
        place: Place = (view.attention_stage, "attention")
        if place in activations:
            draw(model * len(KINDS), 1 + len(stages), model, place)
    return figure_to_svg(figure, name)


def _short(name: str) -> str:
    """A name in the width of a margin: its part behind the task."""
    return name.partition("/")[2] or name


def colour_bar_svg() -> str:
    """What the colours mean, as inline SVG."""
    figure = Figure(figsize=(5.2, 0.34))
    axes = figure.add_axes((0.24, 0.42, 0.42, 0.4))
    axes.imshow(COLOURS(np.linspace(0, 1, 128))[None, :, :3], aspect="auto", extent=(0, 1, 0, 1), interpolation="none")
    axes.set_axis_off()
    for x, text, ha in ((0.23, "least in the record", "right"), (0.67, "most in the record", "left")):
        figure.text(x, 0.6, text, ha=ha, va="center", fontsize=8.5, color=colour("ink"))
    return figure_to_svg(figure, "colours")
