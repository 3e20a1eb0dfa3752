"""Writes the report on classifiers of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from perception_tools.image.published import PUBLISHED, SETS
from perception_tools.image.report.charts import corruption_chart
from perception_tools.report.page import Cell, Table, write_page
from perception_tools.report.theme import LINES


def write_image_report(
    path: Path, groups: Mapping[str, dict], *, main: str, data_name: str, classes: int, is_imagenet: bool
) -> None:
    """Writes one self-contained page, for light and dark screens.

    Args:
        path: Path of the HTML file.
        groups: Name of a set → its numbers, as metrics.json has them.
        main: Name of the set that the page is about.
        data_name: What to call its pictures.
        classes: Number of the models' classes.
        is_imagenet: Whether they are ImageNet's 1,000, so that published rows are of the same kind.
    """
    numbers = groups[main]
    models = {numbers["name"]: numbers} | numbers["others"]
    write_page(
        path,
        "perception_tools.image.report:image.html",
        title=f"{', '.join(models)} on {data_name}",
        tiles=[(name, of, LINES[i % len(LINES)]) for i, (name, of) in enumerate(models.items())],
        pictures=numbers["pictures"],
        classes=classes,
        findings=findings(numbers),
        scores=score_table(groups),
        paired=paired_table(numbers) if numbers.get("paired") else None,
        systems=system_table(numbers) if any(len(of["seeds"]) > 1 for of in numbers["systems"]) else None,
        charts=[
            (group, Markup(corruption_chart(of, f"corruptions-{group}")), corruption_table(of, group))
            for group, of in groups.items()
            if "corruptions" in of
        ],
        published=published_table(groups) if is_imagenet else None,
        unread={group: of["failures"] for group, of in groups.items() if of.get("failures")},
        percent=percent,
    )


def findings(numbers: dict) -> list[str]:
    """The headline in sentences: the first model, and what tells it from the others."""
    name, pictures = numbers["name"], numbers["pictures"]
    interval = numbers["interval"].get("top1") or numbers["interval"]["mean_top1"]
    low, high = (percent(end) for end in interval)
    sentences = [
        f"{name} is right for {percent(numbers['top1'])}\u00a0% of {pictures:,} pictures (95\u00a0% interval over "
        f"pictures {low} to {high})."
    ]
    if numbers.get("left_out"):
        sentences.append(
            f"A prediction is the most likely of {numbers['choices']} classes; {numbers['left_out']:,} pictures of "
            "classes that the models lack are not counted."
        )
    for other, found in numbers.get("paired", {}).items():
        hits = found["top1"]
        low, high = (100 * end for end in hits["interval"])
        verdict = "tell the two apart" if hits["told_apart"] else "do not tell the two apart"
        sentences.append(
            f"{name} against {other}: {100 * hits['difference']:+.2f} points top-1 (95\u00a0% interval {low:+.2f} to "
            f"{high:+.2f}; McNemar's exact p {hits['p_value']:.2g}). These pictures {verdict}; another seed of the "
            "same training may differ by more."
        )
    first, *others = numbers["systems"]
    for system in others:
        if len(first["seeds"]) > 1 or len(system["seeds"]) > 1:
            metric, found = next(iter(system["first_against_this"].items()))
            low, high = (100 * end for end in found["interval"])
            verdict = "tells them apart" if found["told_apart"] else "does not tell them apart"
            sentences.append(
                f"{first['name']} against {system['name']}, means over seeds: {100 * found['difference']:+.2f} points "
                f"{metric}; the 95\u00a0% interval over seeds and pictures, {low:+.2f} to {high:+.2f}, {verdict}."
            )
    return sentences


def score_table(groups: Mapping[str, dict]) -> Table:
    """Every model on every set, with intervals."""
    headings = ["model"]
    rows: dict[str, list[Cell]] = {}
    for group, numbers in groups.items():
        is_corrupted = "corruptions" in numbers
        headings += [f"{group}: {'mean top-1' if is_corrupted else 'top-1'}", f"{group}: top-5"]
        headings.append(f"{group}: mCE" if is_corrupted else f"{group}: calibration error")
        for name, of in ({numbers["name"]: numbers} | numbers["others"]).items():
            main = "mean_top1" if is_corrupted else "top1"
            low, high = of["interval"][main]
            cells = rows.setdefault(name, [])
            cells.append(Cell(percent(of[main]), f"{percent(low)} to {percent(high)}"))
            cells.append(Cell(percent(of["top5"])))
            last = of.get("mce") if is_corrupted else 100 * of["calibration_error"]
            cells.append(Cell("–" if last is None else f"{last:.2f}"))
    caption = (
        "Per cent; below, the 95 % bootstrap interval over pictures. Lower is better for mCE and calibration error"
    )
    return Table("scores", caption, tuple(headings), list(rows.items()))


def paired_table(numbers: dict) -> Table:
    """The first model against each of the others, picture by picture."""
    rows = []
    for name, found in numbers["paired"].items():
        for metric, hits in found.items():
            low, high = (100 * end for end in hits["interval"])
            cells = [
                Cell(f"{100 * hits['difference']:+.2f}", f"{low:+.2f} to {high:+.2f}"),
                Cell(f"{hits['first_only']:,}"),
                Cell(f"{hits['second_only']:,}"),
                Cell(f"{hits['p_value']:.2g}"),
                Cell("yes" if hits["told_apart"] else "no"),
            ]
            rows.append((f"{name}, {metric}", cells))
    headings = ("against", "difference, points", "right only here", "right only there", "McNemar's p", "told apart")
    return Table("paired", f"{numbers['name']} against the others, on the same pictures", headings, rows)


def system_table(numbers: dict) -> Table:
    """Means over the seeds of each training, and the first one's differences."""
    rows = []
    for system in numbers["systems"]:
        metric = next(iter(system["mean"]))
        values = system["values"][metric]
        cells = [
            Cell(str(len(values))),
            Cell(percent(system["mean"][metric]), f"{percent(min(values))} to {percent(max(values))}"),
        ]
        found = system.get("first_against_this", {}).get(metric)
        if found is None:
            cells += [Cell("–"), Cell("–")]
        else:
            low, high = (100 * end for end in found["interval"])
            cells.append(Cell(f"{100 * found['difference']:+.2f}", f"{low:+.2f} to {high:+.2f}"))
            cells.append(Cell("yes" if found["told_apart"] else "no"))
        rows.append((system["name"], cells))
    headings = ("training", "seeds", "mean, %", "first less this, points", "told apart")
    return Table("systems", "Means over seeds; below, the lowest and the highest seed, or the interval", headings, rows)


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


def percent(share: float) -> str:
    """A share in per cent with two digits."""
    return f"{100 * share:.2f}"
