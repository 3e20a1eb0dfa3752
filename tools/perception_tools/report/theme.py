"""The colours of pictures and charts, and figures as SVG that follows the page's light or dark mode."""

from __future__ import annotations

import io
import re

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS: dict[str, tuple[str, str]] = {
    "ground": ("#e9e7e1", "#14171b"),
    "kerb": ("#cdc9be", "#444b54"),
    "road": ("#fdfdfc", "#2a2f36"),
    "junction": ("#f3eee0", "#343a43"),
    "bikeway": ("#e6f0e4", "#28372d"),
    "centreline": ("#c2c7ce", "#545d68"),
    "stripe": ("#b9bec6", "#68717c"),
    "agent": ("#8a929c", "#8b949f"),
    "focal": ("#16191d", "#f4f6f8"),
    "mode": ("#1f62e0", "#74abff"),
    "truth": ("#e2552b", "#ff9062"),
    "ink": ("#1f2329", "#e6eaee"),
    "muted": ("#626a73", "#9aa4ae"),
    "grid": ("#d9dce0", "#3a4149"),
    "line0": ("#6b7078", "#aab2bb"),
    "line1": ("#2066e2", "#6fa8ff"),
    "line2": ("#d9541e", "#ff9a66"),
    "line3": ("#16876b", "#4cc9a4"),
    "line4": ("#8a4fc4", "#c39bf0"),
    "line5": ("#a9821b", "#e3bf57"),
}
"""Name → (light, dark). Pictures are drawn in the light values; all light values differ, so that SVG can swap them.

Blue forecasts beside an orange truth stay apart for colour-blind readers.
"""

LINES = tuple(name for name in COLOURS if name.startswith("line"))
"""One colour a model."""


def colour(name: str) -> str:
    """The light value of a named colour."""
    return COLOURS[name][0]


def css_variables(dark: bool) -> str:
    """The colours as CSS custom properties."""
    return " ".join(f"--{name}: {pair[int(dark)]};" for name, pair in COLOURS.items())


def quiet(axes: Axes) -> None:
    """Takes a chart's frame and ground away and tones its ticks down."""
    axes.set_facecolor("none")
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelsize=9, labelcolor=colour("ink"))
    axes.xaxis.label.set(color=colour("muted"), fontsize=9)


def figure_to_svg(figure: Figure, name: str) -> str:
    """An inline `<svg>` of a figure: text stays text, named colours become CSS variables, ids are unique per name."""
    buffer = io.StringIO()
    figure.patch.set_visible(False)
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' width="[\d.]+pt"| height="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r' id="[\w.]+_\d+"', "", svg)
    # A hundredth of a point is finer than any screen; what text says stays as it is.
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), svg)
    for key, (light, _) in COLOURS.items():
        svg = svg.replace(light, f"var(--{key})")
    return svg
