"""A picture of how much faster each way of evaluating the block is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def draw_ratios(ratios: Sequence[tuple[str, float]], path: Path) -> None:
    """Horizontal bars on a logarithmic axis, from 1 (as slow as the baseline), written as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1 + 0.28 * len(ratios)), layout="constrained")
    axes = figure.subplots()
    names, values = zip(*ratios, strict=True)
    bars = axes.barh(names, [value - 1 for value in values], left=1, color="#3b6fb6")
    axes.bar_label(bars, [f" {value:.3g}×" for value in values], padding=2, fontsize=8)
    axes.set(xscale="log", xlabel="times as fast as the baseline")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.axvline(1, color="#888888", linewidth=0.8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
