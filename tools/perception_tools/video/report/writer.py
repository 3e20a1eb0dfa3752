"""Writes the report on models that recognise actions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from perception_tools.classification.report import percent, write_classification_report
from perception_tools.report.page import Cell, Table
from perception_tools.video.published import PUBLISHED

SSV2_CLASSES = 174


def write_action_report(
    path: Path, groups: Mapping[str, dict], *, main: str, data_name: str, classes: int, views: str, order: str
) -> None:
    """Writes one self-contained page, for light and dark screens.

    Args:
        path: Path of the HTML file.
        groups: Name of a set → its numbers, as metrics.json has them.
        main: Name of the set that the page is about.
        data_name: What to call its clips.
        classes: Number of the models' classes; published rows stand beside models with as many as the paper's.
        views: The views of each clip, in words.
        order: Order of the images.
    """
    write_classification_report(
        path,
        groups,
        noun="clip",
        main=main,
        data_name=data_name,
        classes=classes,
        published=published_table(groups[main]) if classes == SSV2_CLASSES else None,
        template="perception_tools.video.report:video.html",
        views=views,
        order=order,
    )


def published_table(numbers: dict) -> Table:
    """The paper's rows beside ours, for models of Something-Something v2's classes."""
    rows = [(f"{row.method} ({row.source})", [Cell(f"{row.top1:.2f}"), Cell(f"{row.top5:.2f}")]) for row in PUBLISHED]
    for name, of in ({numbers["name"]: numbers} | numbers["others"]).items():
        rows.append((f"{name}, measured here", [Cell(percent(of["top1"])), Cell(percent(of["top5"]))]))
    return Table("published", "Accuracy, %", ("model", "top-1", "top-5"), rows)
