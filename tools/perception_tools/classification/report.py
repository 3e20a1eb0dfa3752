"""The report on classifiers: its sentences, tables and page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perception_tools.report.comparison_rows import paired_rows, percent, system_rows
from perception_tools.report.page import Cell, Table, write_page
from perception_tools.report.theme import LINES

NAMED = 3
"""At most as many models are named in a page's title."""


def write_classification_report(
    path: Path,
    groups: Mapping[str, dict],
    *,
    noun: str,
    main: str,
    data_name: str,
    classes: int,
    published: Table | None = None,
    template: str = "perception_tools.report:classification.html",
    **further: Any,
) -> None:
    """Writes one self-contained page, for light and dark screens.

    Args:
        path: Path of the HTML file.
        groups: Name of a set → its numbers, from `side_by_side`.
        noun: What a record is called, in the singular.
        main: Name of the set that the page is about.
        data_name: What to call its records.
        classes: Number of the models' classes.
        published: Published rows beside what was measured.
        template: `PACKAGE:NAME` of a page that extends `classification.html`.
        further: What that page takes beside.
    """
    numbers = groups[main]
    models = {numbers["name"]: numbers} | numbers["others"]
    write_page(
        path,
        template,
        title=f"{', '.join(models) if len(models) <= NAMED else f'{len(models)} models'} on {data_name}",
        tiles=[(name, of, LINES[i % len(LINES)]) for i, (name, of) in enumerate(models.items())],
        noun=noun,
        records=numbers[f"{noun}s"],
        classes=classes,
        findings=findings(numbers, noun),
        scores=score_table(groups, noun),
        paired=paired_table(numbers, noun) if numbers.get("paired") else None,
        systems=system_table(numbers) if any(len(of["seeds"]) > 1 for of in numbers["systems"]) else None,
        published=published,
        unread={group: of["failures"] for group, of in groups.items() if of.get("failures")},
        percent=percent,
        **further,
    )


def findings(numbers: dict, noun: str) -> list[str]:
    """The headline in sentences: the first model, and what tells it from the others.

    Args:
        numbers: Of one set, from `side_by_side`.
        noun: What a record is called, in the singular.
    """
    name, records = numbers["name"], numbers[f"{noun}s"]
    low, high = (percent(end) for end in next(iter(numbers["interval"].values())))
    sentences = [
        f"{name} is right for {percent(numbers['top1'])}\u00a0% of {records:,} {noun}s (95\u00a0% interval over "
        f"{noun}s {low} to {high})."
    ]
    if numbers.get("left_out"):
        sentences.append(
            f"A prediction is the most likely of {numbers['choices']} classes; {numbers['left_out']:,} {noun}s of "
            "classes that the models lack are not counted."
        )
    for other, found in numbers.get("paired", {}).items():
        hits = found["top1"]
        low, high = (100 * end for end in hits["interval"])
        verdict = "tell the two apart" if hits["told_apart"] else "do not tell the two apart"
        sentences.append(
            f"{name} against {other}: {100 * hits['difference']:+.2f} points top-1 (95\u00a0% interval {low:+.2f} to "
            f"{high:+.2f}; McNemar's exact p {hits['p_value']:.2g}). These {noun}s {verdict}; another seed of the "
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
                f"{metric}; the 95\u00a0% interval over seeds and {noun}s, {low:+.2f} to {high:+.2f}, {verdict}."
            )
    return sentences


def score_table(groups: Mapping[str, dict], noun: str) -> Table:
    """Every model on every set, with intervals."""
    headings = ["model"]
    rows: dict[str, list[Cell]] = {}
    for group, numbers in groups.items():
        main = next(iter(numbers["interval"]))
        is_mean = main == "mean_top1"
        headings += [f"{group}: {'mean top-1' if is_mean else 'top-1'}", f"{group}: top-5"]
        headings.append(f"{group}: {'mCE' if is_mean else 'calibration error'}")
        for name, of in ({numbers["name"]: numbers} | numbers["others"]).items():
            low, high = of["interval"][main]
            last = of.get("mce") if is_mean else 100 * of["calibration_error"]
            rows.setdefault(name, []).extend(
                [
                    Cell(percent(of[main]), f"{percent(low)} to {percent(high)}"),
                    Cell(percent(of["top5"])),
                    Cell("–" if last is None else f"{last:.2f}"),
                ]
            )
    lower = "mCE and calibration error" if "mCE" in " ".join(headings) else "calibration error"
    caption = f"Per cent; below, the 95 % bootstrap interval over {noun}s. Lower is better for {lower}"
    return Table("scores", caption, tuple(headings), list(rows.items()))


def paired_table(numbers: dict, noun: str) -> Table:
    """The first model against each of the others, record by record."""
    headings = ("against", "difference, points", "right only here", "right only there", "McNemar's p", "told apart")
    caption = f"{numbers['name']} against the others, on the same {noun}s"
    return Table("paired", caption, headings, paired_rows(numbers["paired"]))


def system_table(numbers: dict) -> Table:
    """Means over the seeds of each training, and the first one's differences."""
    systems = numbers["systems"]
    headings = ("training", "seeds", "mean, %", "first less this, points", "told apart")
    caption = "Means over seeds; below, the lowest and the highest seed, or the interval"
    return Table("systems", caption, headings, system_rows(systems, next(iter(systems[0]["mean"]))))
