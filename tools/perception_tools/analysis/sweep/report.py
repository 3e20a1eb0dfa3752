"""A sweep's page: what came out in sentences, plots, and the numbers of table.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from perception_tools.analysis.sweep.charts import direction, line_chart, numeric_field, seed_chart
from perception_tools.analysis.sweep.table import short_names
from perception_tools.report.page import Cell, Table, write_page

MOST_PAIRS = 15
"""Where a metric has more pairs, the page shows those with the first cell; table.json holds all."""


def write_sweep_page(path: Path, table: dict) -> None:
    """Writes the page of a sweep, self-contained.

    Args:
        path: Path of the page.
        table: What table.json holds.
    """
    field, short = numeric_field(table), short_names(table)
    write_page(
        path,
        "perception_tools.analysis.sweep:sweep.html",
        title=table.get("title")
        or f"Sweep of {', '.join(table['recipes'])}" + (f" over {', '.join(table['over'])}" if table["over"] else ""),
        table=table,
        findings=findings(table),
        seeds=Markup(seed_chart(table)),
        field=field,
        lines=Markup(line_chart(table, field)) if field else None,
        means=mean_table(table),
        values=[value_table(table, metric) for metric in table["metrics"]],
        pairs=[pair_table(table, metric) for metric in table["metrics"]] if len(table["cells"]) > 1 else [],
        failures=[(short[c["name"]], seed, why) for c in table["cells"] for seed, why in c["missing"].items()],
        recipes=[(name, json.dumps(recipe, indent=2)) for name, recipe in table["recipes"].items()],
    )


def findings(table: dict) -> list[str]:
    """What came out for the first metric: the best cell, and whether seeds tell it from the others."""
    (metric, better), short = next(iter(table["metrics"].items())), short_names(table)
    means = {c["name"]: c["metrics"][metric]["mean"] for c in table["cells"]}
    known = {name: mean for name, mean in means.items() if mean is not None}
    if not known:
        return ["No run has finished."]
    best = _best(known, better)
    seeds = len(next(c for c in table["cells"] if c["name"] == best)["metrics"][metric]["values"])
    extreme = "lowest" if better == "min" else "highest"
    if seeds > 1:
        sentences = [f"{short[best]} has the {extreme} mean {metric}, {known[best]:.3f}, over {seeds} seeds."]
    else:
        sentences = [f"{short[best]} has the {extreme} {metric}, {known[best]:.3f}, with one seed only."]
    pairs = [p for p in table["paired"] if p["metric"] == metric and best in (p["first"], p["second"])]
    judged = [p for p in pairs if p["p_value"] is not None]
    apart = [short[p["second"] if p["first"] == best else p["first"]] for p in judged if p["p_value"] < 0.05]
    if judged and not apart:
        sentences.append("Paired by seed, it cannot be told from any other cell at 5 %.")
    elif judged:
        rest = "every other cell" if len(apart) == len(known) - 1 else "; ".join(apart)
        sentences.append(f"Paired by seed, it differs from {rest} at 5 %, uncorrected for the number of pairs.")
    return sentences


def _best(means: dict[str, float], better: str) -> str:
    return min(means, key=lambda name: means[name] if better == "min" else -means[name])


def mean_table(table: dict) -> Table:
    """Mean and interval of every metric of every cell."""
    best, short = {}, short_names(table)
    for metric, better in table["metrics"].items():
        means = {c["name"]: c["metrics"][metric]["mean"] for c in table["cells"]}
        known = {name: mean for name, mean in means.items() if mean is not None}
        best[metric] = known[_best(known, better)] if len(known) > 1 else None
    rows = []
    for cell in table["cells"]:
        summaries = cell["metrics"]
        count = max((len(s["values"]) for s in summaries.values()), default=0)
        cells = [
            Cell(_number(s["mean"]), _range(s["interval"]), s["mean"] is not None and s["mean"] == best[metric])
            for metric, s in summaries.items()
        ]
        rows.append((short[cell["name"]], [Cell(str(count)), *cells]))
    headings = tuple(f"{metric} ({'↓' if better == 'min' else '↑'})" for metric, better in table["metrics"].items())
    caption = "Means over seeds, below each its 95 % interval; the best mean of a column is bold"
    return Table("means", caption, ("cell", "seeds", *headings), rows)


def value_table(table: dict, metric: str) -> Table:
    """One metric of every run."""
    seeds, short = [str(seed) for seed in table["seeds"]], short_names(table)
    rows = []
    for cell in table["cells"]:
        summary = cell["metrics"][metric]
        values = [Cell(_number(summary["values"].get(seed))) for seed in seeds]
        rows.append((short[cell["name"]], [*values, Cell(_number(summary["std"]))]))
    headings = ("cell", *(f"seed {seed}" for seed in seeds), "standard deviation")
    return Table(f"values-{_id(metric)}", metric, headings, rows)


def pair_table(table: dict, metric: str) -> Table:
    """Differences of cells in one metric, paired by seed."""
    pairs: Sequence[dict] = [pair for pair in table["paired"] if pair["metric"] == metric]
    caption = f"{metric}, {direction(table['metrics'][metric])}: the first cell less the second, paired by seed"
    if len(pairs) > MOST_PAIRS:
        pairs = [pair for pair in pairs if pair["first"] == table["cells"][0]["name"]]
        caption += "; pairs with the first cell only, table.json holds all"
    rows, short = [], short_names(table)
    for pair in pairs:
        p = "–" if pair["p_value"] is None else f"{pair['p_value']:.3f}" if pair["p_value"] >= 0.001 else "< 0.001"
        mean = Cell("–" if pair["mean"] is None else f"{pair['mean']:+.3f}")
        cells = [mean, Cell(_range(pair["interval"]) or "–"), Cell(p), Cell(str(len(pair["differences"])))]
        rows.append((f"{short[pair['first']]} − {short[pair['second']]}", cells))
    return Table(f"pairs-{_id(metric)}", caption, ("pair", "difference", "95 % interval", "p", "seeds"), rows)


def _id(metric: str) -> str:
    return metric.replace("/", "-")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _range(interval: Sequence[float] | None) -> str:
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
