"""Writes `report.html`: numbers, pictures and provenance in one file that asks nothing of the network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from perception.errors import InputError
from perception_tools.forecasting.report.charts import interval_chart, learning_curves
from perception_tools.forecasting.report.evaluation import Evaluation
from perception_tools.forecasting.report.pictures import forecast_svg, legend_svg
from perception_tools.forecasting.report.tables import (
    HEADLINE,
    cost_table,
    count_table,
    group_tables,
    published_table,
    score_tables,
    view_table,
)
from perception_tools.report.page import write_page
from perception_tools.report.theme import LINES


def write_report(
    out: Path, evaluations: list[Evaluation], *, data_name: str, synthetic: bool, notes: list[str]
) -> None:
    """Writes `report.html` into a folder, self-contained, for light and dark screens.

    Args:
        out: Made where it does not exist.
        evaluations: Side by side, in this order; a model without trainable parameters (constant velocity) serves as the
            baseline of the headline.
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
        findings=findings(evaluations),
        pictures=_pictures(evaluations),
        legend=Markup(legend_svg()),
        intervals=Markup(interval_chart(evaluations, HEADLINE)),
        scores=score_tables(evaluations),
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


def findings(evaluations: Sequence[Evaluation]) -> list[str]:
    """The headline in sentences: the best model against the baseline, and what the block changed."""
    models = [e for e in evaluations if e.trained]
    baselines = [e for e in evaluations if not e.trained]
    sentences = []
    best, baseline = min(models, key=_min_fde, default=None), min(baselines, key=_min_fde, default=None)
    if best and baseline and _min_fde(baseline) > 0:  # a few standing cars are forecast without any error
        change = 100 * (_min_fde(best) / _min_fde(baseline) - 1)
        sentences.append(
            f"{best.name} has the lowest minFDE of six modes, {_min_fde(best):.3f} m: {abs(change):.0f} % "
            f"{'below' if change < 0 else 'above'} {baseline.name} ({_min_fde(baseline):.3f} m, one mode)."
        )
    without = [e for e in models if e.block is None]
    if without:
        plain = min(without, key=_min_fde)
        sentences += [_compare(e, plain) for e in models if e.block is not None]
    return sentences


def _compare(model: Evaluation, plain: Evaluation) -> str:
    """What a model with a block gains over one without, and whether these scenes can tell."""
    (low, high), (plain_low, plain_high) = (e.metrics["interval"]["k6"]["min_fde"] for e in (model, plain))
    overlap = low <= plain_high and plain_low <= high
    told_apart = "overlap: these scenes do not tell the two apart" if overlap else "do not overlap"
    return (
        f"{model.name} against {plain.name}: {_min_fde(model) - _min_fde(plain):+.3f} m minFDE of six modes; "
        f"the 95 % intervals [{low:.3f}, {high:.3f}] and [{plain_low:.3f}, {plain_high:.3f}] {told_apart}."
    )


def _min_fde(evaluation: Evaluation) -> float:
    return evaluation.metrics["k6"]["min_fde"]


def _pictures(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[Markup]]]:
    """(model, its pictures) for every model that brings examples."""
    return [
        (e.name, [Markup(forecast_svg(example, f"picture-{i}-{j}")) for j, example in enumerate(e.examples)])
        for i, e in enumerate(evaluations)
        if e.examples
    ]
