"""Rows of tables that put systems side by side, as metrics.json holds their comparisons; shares become per cent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perception_tools.report.page import Cell

Row = tuple[str, list[Cell]]


def paired_rows(paired: Mapping[str, Mapping[str, Mapping]]) -> list[Row]:
    """The first system against each of the others, by metric: difference, right only here and there, p, verdict."""
    rows = []
    for name, found in paired.items():
        for metric, of in found.items():
            low, high = (100 * end for end in of["interval"])
            cells = [
                Cell(f"{100 * of['difference']:+.2f}", f"{low:+.2f} to {high:+.2f}"),
                Cell(f"{of['first_only']:,}"),
                Cell(f"{of['second_only']:,}"),
                Cell(f"{of['p_value']:.2g}"),
                Cell("yes" if of["told_apart"] else "no"),
            ]
            rows.append((f"{name}, {metric}", cells))
    return rows


def system_rows(systems: Sequence[Mapping], metric: str) -> list[Row]:
    """Number of seeds of each training, mean and range over them, and the first one's difference with its verdict."""
    rows = []
    for system in systems:
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
    return rows


def percent(share: float) -> str:
    """A share in per cent with two digits."""
    return f"{100 * share:.2f}"
