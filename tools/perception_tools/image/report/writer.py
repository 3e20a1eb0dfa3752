"""Writes the report on classifiers of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from perception_datasets.images.records import PictureSource
from perception_tools.classification.report import percent, write_classification_report
from perception_tools.classification.scores import ClassScores
from perception_tools.image.published import PUBLISHED, SETS
from perception_tools.image.report.charts import corruption_chart
from perception_tools.image.report.examples import class_table, confusion_table, find_examples
from perception_tools.report.page import Cell, Table


def write_image_report(
    path: Path,
    groups: Mapping[str, dict],
    *,
    main: str,
    data_name: str,
    classes: int,
    is_imagenet: bool,
    first: tuple[ClassScores, PictureSource] | None = None,
) -> None:
    """Writes one self-contained page, for light and dark screens.

    Args:
        path: Path of the HTML file.
        groups: Name of a set → its numbers, as metrics.json has them.
        main: Name of the set that the page is about.
        data_name: What to call its pictures.
        classes: Number of the models' classes.
        is_imagenet: Whether they are ImageNet's 1,000, so that published rows are of the same kind.
        first: The first model's scores on the main set, and its pictures, to show some of them; None shows none.
    """
    wrong, right = find_examples(*first) if first else ([], [])
    write_classification_report(
        path,
        groups,
        noun="picture",
        main=main,
        data_name=data_name,
        classes=classes,
        published=published_table(groups) if is_imagenet else None,
        template="perception_tools.image.report:image.html",
        name=groups[main]["name"],
        examples=[("Mistakes that it is surest of", wrong), ("Surest hits", right)],
        by_class=[class_table(first[0]), confusion_table(first[0])] if first else [],
        charts=[
            (group, Markup(corruption_chart(of, f"corruptions-{group}")), corruption_table(of, group))
            for group, of in groups.items()
            if "corruptions" in of
        ],
    )


def corruption_table(numbers: dict, group: str) -> Table:
    """Accuracy under each corruption at each severity, of every model."""
    models = {numbers["name"]: numbers} | numbers["others"]
    rows = [
        (f"{corruption}" if len(models) == 1 else f"{corruption}, {name}", [Cell(percent(value)) for value in values])
        for corruption in numbers["corruptions"]
        for name, of in models.items()
        for values in (of["corruptions"][corruption],)
    ]
    severities = max(len(cells) for _, cells in rows)
    headings = ("corruption", *(f"severity {number}" for number in range(1, severities + 1)))
    return Table(f"table-{group}", "Top-1 accuracy, %", headings, rows)


def published_table(groups: Mapping[str, dict]) -> Table:
    """The paper's rows beside ours, for models of ImageNet's 1,000 classes."""
    rows = [(row.method, [Cell(f"{row.top1[name]:.1f}") for name in SETS]) for row in PUBLISHED]
    ours: dict[str, dict[str, str]] = {}
    for group, numbers in groups.items():
        column = group if group in SETS else "imagenet"
        for name, of in ({numbers["name"]: numbers} | numbers["others"]).items():
            ours.setdefault(f"{name}, measured here", {})[column] = percent(of["top1"])
    rows += [(name, [Cell(cells.get(column, "–")) for column in SETS]) for name, cells in ours.items()]
    return Table("published", "Top-1 accuracy, %", ("model", *SETS.values()), rows)
