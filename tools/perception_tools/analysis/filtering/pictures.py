"""The paper's Figure 3 for a record of one's own: what stands out at each stage, one model below the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from perception.analysis.filtering import threshold_ious
from perception_tools.analysis.filtering.measure import Example, Place, threshold_of_best
from perception_tools.analysis.filtering.views import TokenView
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
DRAWN_PIXELS = 112
"""Maximum side of a drawn picture: a page holds some hundred of them."""
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


def draw_patches(
    pixels: UInt8[np.ndarray, "height width 3"],
    target: Bool[np.ndarray, "height width"] | None,
    grid: tuple[int, int],
    axes: Axes,
    values: Float[np.ndarray, " patches"] | None,
) -> None:
    """Draws a picture with the outline of its target, or in grey under the colours of its patches.

    Args:
        pixels: The picture as the model sees it.
        target: Which pixels are of the target; None where that is not known.
        grid: Rows and columns of patches.
        axes: Empty axes.
        values: Activation of each patch, row by row; None draws the picture itself.
    """
    height, width = pixels.shape[:2]
    if values is None:
        axes.imshow(pixels, interpolation="none")
        if target is not None and target.any():
            rows, columns = np.arange(-1, height + 1), np.arange(-1, width + 1)
            for shade, wide in (("black", 3.0), ("white", 1.4)):  # seen on any picture
                axes.contour(columns, rows, np.pad(target, 1), levels=[0.5], colors=shade, linewidths=wide)
            axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        return
    side = max(1, min(DRAWN_PIXELS // max(grid), max(height // grid[0], width // grid[1])))
    small = Image.fromarray(pixels).resize((grid[1] * side, grid[0] * side), Image.Resampling.BOX)
    axes.imshow(heat_over(np.array(small), values.reshape(grid)), interpolation="none")


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
    sheet = _Sheet(example_inches(example), len(names) * len(KINDS), example.views[0].inches)
    example.views[0].draw(sheet.panel(0, 0), None)
    titles = ["target" if example.views[0].target is not None else "", *(STAGE_WORDS[s] for s in stages)]
    for column, title in enumerate([*titles, LOOKS] if looks else titles):
        sheet.write_above(column, title)
    for model, (view, activations) in enumerate(zip(example.views, example.activations, strict=True)):
        for number, kind in enumerate(KINDS):
            row = model * len(KINDS) + number
            sheet.write_beside(row, _short(names[model]) if number == 0 else "", kind)
            for column, stage in enumerate(stages):
                if (stage, kind) in activations:
                    _draw(sheet, (row, 1 + column), view, activations[stage, kind])
        place: Place = (view.attention_stage, "attention")
        if place in activations:
            _draw(sheet, (model * len(KINDS), 1 + len(stages)), view, activations[place])
    return figure_to_svg(sheet.figure, name)


class _Sheet:
    """Rows and columns of panels of one size, with words above, beside and below them.

    Args:
        width: Of all, in inches.
        rows: Number of rows.
        panel: Width and height of a panel, in inches.
    """

    def __init__(self, width: float, rows: int, panel: tuple[float, float]) -> None:
        self._panel = panel
        self._size = width, _HEAD_INCHES + rows * (panel[1] + _FOOT_INCHES)
        self.figure = Figure(figsize=self._size, dpi=RASTER_DPI)

    def panel(self, row: int, column: int) -> Axes:
        """Empty axes."""
        left, top = self._corner(row, column)
        (width, height), (whole_width, whole_height) = self._panel, self._size
        bottom = whole_height - top - height
        box = (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
        axes = self.figure.add_axes(box)
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_visible(False)
        return axes

    def write_above(self, column: int, text: str) -> None:
        """Writes the title of a column."""
        self._write(self._corner(0, column)[0] + self._panel[0] / 2, _HEAD_INCHES / 2, text, ha="center")

    def write_beside(self, row: int, heading: str, text: str) -> None:
        """Writes what a row is."""
        middle = self._corner(row, 0)[1] + self._panel[1] / 2
        self._write(0.02, middle - 0.16, heading, fontweight="bold")
        self._write(0.02, middle, text, color=colour("muted"))

    def write_below(self, row: int, column: int, text: str) -> None:
        """Writes small print below a panel."""
        left, top = self._corner(row, column)
        below = top + self._panel[1] + 0.4 * _FOOT_INCHES
        self._write(left + self._panel[0] / 2, below, text, ha="center", fontsize=7, color=colour("muted"))

    def _corner(self, row: int, column: int) -> tuple[float, float]:
        """Left and top of a panel, in inches from the upper left."""
        width, height = self._panel
        return _SIDE_INCHES + column * (width + _GAP_INCHES), _HEAD_INCHES + row * (height + _FOOT_INCHES)

    def _write(self, left: float, top: float, text: str, **style: Any) -> None:
        at = left / self._size[0], 1 - top / self._size[1]
        self.figure.text(*at, text, **{"color": colour("ink"), "fontsize": 8.5, "va": "center", **style})


def _draw(sheet: _Sheet, at: tuple[int, int], view: TokenView, values: Float[np.ndarray, " tokens"]) -> None:
    """A record in the colours of its activations, with their agreement below."""
    view.draw(sheet.panel(*at), values)
    if view.target is not None:
        best, threshold = threshold_of_best(threshold_ious(values, view.target, view.counted))
        sheet.write_below(*at, f"IoU {best:.2f} at {threshold}")


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
