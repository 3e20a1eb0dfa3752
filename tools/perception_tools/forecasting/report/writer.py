"""Writes `report.html`: numbers, pictures and provenance in one file that asks nothing of the network."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from perception.errors import InputError
from perception_tools.forecasting.comparison import Comparison
from perception_tools.forecasting.report.charts import interval_chart, learning_curves
from perception_tools.forecasting.report.evaluation import Evaluation, Example
from perception_tools.forecasting.report.pictures import forecast_svg, legend_svg
from perception_tools.forecasting.report.tables import (
    HEADLINE,
    cost_table,
    count_table,
    group_tables,
    paired_tables,
    published_table,
    score_tables,
    view_table,
)
from perception_tools.report.page import write_page
from perception_tools.report.theme import LINES


def write_report(
    out: Path,
    evaluations: list[Evaluation],
    comparisons: Sequence[Comparison],
    *,
    data_name: str,
    synthetic: bool,
    notes: list[str],
) -> None:
    """Writes `report.html` into a folder, self-contained, for light and dark screens.

    Args:
        out: Made where it does not exist.
        evaluations: Side by side, in this order; a model without trainable parameters (constant velocity) serves as the
            baseline of the headline.
        comparisons: Comparisons of every two systems.
        data_name: What was trained on and evaluated on, e.g. `AV1-mini (3,552/616)`. Published rows of the same name
            are marked as comparable, all others as not.
        synthetic: Whether the scenarios were made, not recorded; says so loudly.
        notes: Said under the headline of failures: broken files, skipped scenarios, caveats.
    """
    if not evaluations:
        raise InputError("report: expected at least one evaluation, got none")
    write_page(
        out / "report.html",
        "perception_tools.forecasting.report:report.html",
        title=f"{', '.join(e.name for e in evaluations if e.trained) or evaluations[0].name} on {data_name}",
        data_name=data_name,
        synthetic=synthetic,
        evaluations=evaluations,
        findings=findings(evaluations, comparisons),
        pictures=[(e.name, _drawn(e.examples, f"picture-{i}")) for i, e in enumerate(evaluations) if e.examples],
        worst=[(e.name, len(e.worst), _worst(e, f"worst-{i}")) for i, e in enumerate(evaluations) if e.worst],
        legend=Markup(legend_svg()),
        intervals=Markup(interval_chart(evaluations, HEADLINE)),
        scores=score_tables(evaluations),
        paired=paired_tables(comparisons),
        published=published_table(data_name),
        groups=group_tables(evaluations),
        curves=Markup(learning_curves(evaluations)) if any(e.curves for e in evaluations) else None,
        cost=cost_table(evaluations),
        views=view_table(evaluations),
        counts=count_table(evaluations),
        notes=notes,
        recipes=[(e.name, json.dumps(e.recipe, indent=2, default=str)) for e in evaluations if e.recipe],
        lines=len(LINES),
    )


def findings(evaluations: Sequence[Evaluation], comparisons: Sequence[Comparison]) -> list[str]:
    """Returns the headline in sentences: the best system against the baseline, and what the block changed.

    A system that was trained with several seeds counts with its mean, not with its best training.
    """
    systems: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        systems.setdefault(evaluation.system or evaluation.name, []).append(evaluation)
    min_fde = {name: statistics.fmean(e.metrics["k6"]["min_fde"] for e in members) for name, members in systems.items()}
    trained = [name for name, members in systems.items() if members[0].trained]
    baselines = [name for name in systems if name not in trained]
    best, baseline = (min(names, key=min_fde.__getitem__, default=None) for names in (trained, baselines))
    sentences = []
    if best and baseline and min_fde[baseline] > 0:  # a few standing cars are forecast without any error
        change = 100 * (min_fde[best] / min_fde[baseline] - 1)
        sentences.append(
            f"{best} has the lowest minFDE of six modes, {min_fde[best]:.3f} m: {abs(change):.0f} % "
            f"{'below' if change < 0 else 'above'} {baseline} ({min_fde[baseline]:.3f} m, one mode)."
        )
    told = [comparison for comparison in comparisons if {comparison.first, comparison.second} <= set(trained)]
    sentences += [comparison.verdict() for comparison in told]
    if any(1 in comparison.trainings for comparison in told):
        sentences.append(
            "Of a system that was trained once the intervals cover the scenes alone: another training differs."
        )
    return sentences


def _drawn(examples: Sequence[Example], name: str) -> list[tuple[Markup, str]]:
    """Pictures with their captions; the name must be unique on the page."""
    return [(Markup(forecast_svg(x, f"{name}-{j}")), x.caption) for j, x in enumerate(examples)]


def _worst(evaluation: Evaluation, name: str) -> list[tuple[str, list[tuple[Markup, str]]]]:
    """(manoeuvre, its pictures) for every manoeuvre among a model's worst forecasts, the most frequent first."""
    by_manoeuvre: dict[str, list[Example]] = {}
    for example in evaluation.worst:
        by_manoeuvre.setdefault(example.manoeuvre, []).append(example)
    groups = sorted(by_manoeuvre.items(), key=lambda group: -len(group[1]))
    return [(label, _drawn(of, f"{name}-{i}")) for i, (label, of) in enumerate(groups)]
