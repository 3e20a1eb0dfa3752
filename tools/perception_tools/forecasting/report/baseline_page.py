"""A picture of how a replay differs from its baseline, tick by tick: a page, or a PNG for a ticket."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from perception.errors import InputError
from perception.files import whole_file
from perception_tools.forecasting.streaming.baseline import Baseline
from perception_tools.forecasting.streaming.baseline_comparison import Bounds, Comparison
from perception_tools.report.page import write_page
from perception_tools.report.theme import colour, figure_to_svg, quiet

SUFFIXES = (".html", ".png")


def check_picture(path: Path) -> None:
    """Refuses a name whose ending is not one of `SUFFIXES`, before anything is played."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"--differences {path}: expected a name that ends in .html or .png; give one")


def write_differences(path: Path, comparison: Comparison, bounds: Bounds, complaints: Sequence[str]) -> None:
    """Writes the picture.

    Args:
        path: Path of the page or PNG.
        comparison: What is shown.
        bounds: What is allowed; drawn as dashed lines.
        complaints: What is beyond them.
    """
    figure = _draw(comparison, bounds)
    title = f"Replay of {comparison.now.log} beside its baseline"
    if path.suffix == ".png":
        figure.suptitle(title, fontsize=12, color=colour("ink"))
        with whole_file(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110, facecolor=colour("road"))
        return
    write_page(
        path,
        "perception_tools.forecasting.report:baseline.html",
        title=title,
        complaints=complaints,
        chart=Markup(figure_to_svg(figure, "differences")),
        facts=_facts(comparison),
    )


def _facts(comparison: Comparison) -> dict[str, tuple[str, str]]:
    """Returns what stands side by side: the baseline's, and this replay's."""
    then, now = comparison.then, comparison.now
    refused, gained, changed = (int(n.sum()) for n in (comparison.refused, comparison.gained, comparison.changed))
    return {
        "model": (then.model, now.model),
        "version": (then.version, now.version),
        "ticks that the model answered": (_answered(then), _answered(now)),
        "objects": (str(len(then.objects)), str(len(now.objects))),
        "forecast by the model then or now alone": (str(refused), str(gained)),
        "another source or reason, or in one alone": ("", str(changed)),
        "median latency": (f"{then.latency_p50_ms:.1f} ms", f"{now.latency_p50_ms:.1f} ms"),
    }


def _answered(baseline: Baseline) -> str:
    return f"{baseline.sources.count('model')} of {len(baseline.sources)}"


def _draw(comparison: Comparison, bounds: Bounds) -> Figure:
    figure = Figure(figsize=(9.6, 6.4), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True)
    _values(panels[0], comparison.seconds, comparison.position_m, bounds.max_position_m, "positions, m")
    _values(panels[1], comparison.seconds, comparison.probability, bounds.max_probability, "probabilities")
    counts = {
        "other source or reason": (comparison.changed, "agent"),
        "newly by the model": (comparison.gained, "mode"),
        "no longer by the model": (comparison.refused, "truth"),
    }
    _counts(panels[2], comparison.seconds, counts)
    panels[2].set_xlabel("seconds since the first tick")
    return figure


def _values(
    axes: Axes, seconds: Float[np.ndarray, " ticks"], values: Float[np.ndarray, " ticks"], most: float, name: str
) -> None:
    """Draws the largest difference of every tick; what is beyond the bound in another colour."""
    beyond = values > most
    axes.vlines(seconds[~beyond], 0, values[~beyond], color=colour("mode"), linewidth=2)
    axes.vlines(seconds[beyond], 0, values[beyond], color=colour("truth"), linewidth=2)
    axes.axhline(most, color=colour("muted"), linewidth=1, linestyle="--")
    _finish(axes, f"Largest difference of {name} (dashed: allowed)", 1.2 * max(most, float(values.max(initial=0.0))))


def _counts(
    axes: Axes, seconds: Float[np.ndarray, " ticks"], counts: dict[str, tuple[Int[np.ndarray, " ticks"], str]]
) -> None:
    for name, (values, shade) in counts.items():
        axes.step(seconds, values, where="mid", color=colour(shade), linewidth=1.6, label=name)
    highest = max(int(values.max(initial=0)) for values, _ in counts.values())
    _finish(axes, "Number of objects that are answered in another way", 1.2 * max(1, highest))
    axes.legend(loc="upper right", ncols=3, frameon=False, fontsize=8.5, labelcolor=colour("ink"))


def _finish(axes: Axes, title: str, top: float) -> None:
    axes.set_title(title, fontsize=10, color=colour("ink"), loc="left")
    axes.set_ylim(0, top or 1.0)
    quiet(axes)
    axes.grid(visible=True, axis="y", color=colour("grid"), linewidth=0.6)
