"""Writes the report on answers to questions about scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from perception.metrics.mcnemar import PairedHits
from perception_tools.report.page import write_page
from perception_tools.scene_qa.report.charts import confusion_chart, line_of, type_chart
from perception_tools.scene_qa.report.evaluation import SystemEvaluation
from perception_tools.scene_qa.report.tables import (
    confusion_table,
    failure_table,
    localization_table,
    p_text,
    paired_table,
    percent,
    published_table,
    score_table,
    type_tables,
)


def write_scene_qa_report(
    path: Path,
    evaluations: Sequence[SystemEvaluation],
    paired: Mapping[str, PairedHits],
    *,
    data_name: str,
    notes: Sequence[str],
) -> None:
    """Writes one self-contained page, for light and dark screens.

    Args:
        path: Path of the HTML file.
        evaluations: The systems that were asked for, then the baselines that stand beside them for orientation.
        paired: The first system against each other one that was asked for, by name.
        data_name: What was asked.
        notes: What to know before quoting a number.
    """
    first, *others = evaluations
    asked = [first, *(e for e in others if e.name in paired)]
    write_page(
        path,
        "perception_tools.scene_qa.report:scene_qa.html",
        title=f"{', '.join(e.name for e in asked)} on {data_name}",
        first=first,
        tiles=[(e, line_of(i, e)) for i, e in enumerate(asked)],
        percent=percent,
        findings=findings(evaluations, paired),
        types=Markup(type_chart([e for e in evaluations if e in asked or e.name == "majority-per-type"])),
        scores=score_table(evaluations),
        type_tables=type_tables(evaluations),
        published=published_table(asked),
        paired=paired_table(first.name, paired) if paired else None,
        localization=localization_table(evaluations),
        confusions=[
            (Markup(confusion_chart(e, f"confusion-{i}")), confusion_table(e, f"confused-{i}"))
            for i, e in enumerate(asked)
        ],
        failures=[failure_table(e, f"wrong-{i}") for i, e in enumerate(asked)],
        notes=notes,
    )


def findings(evaluations: Sequence[SystemEvaluation], paired: Mapping[str, PairedHits]) -> list[str]:
    """The headline in sentences: the first system against the baselines, and what tells it from the others."""
    first = evaluations[0]
    total, share = first.metrics["questions"], percent(first.metrics["em1"])
    low, high = first.metrics["interval"]["em1"]
    sentences = [
        f"{first.name} answers {share}\u00a0% of {total:,} questions exactly as they were annotated "
        f"(95\u00a0% interval {percent(low)} to {percent(high)})."
    ]
    if not first.is_oracle:
        best = max((e for e in evaluations if e.is_oracle), key=lambda e: e.metrics["em1"])
        sentences.append(
            f"Answering without the scene and almost without the question, {best.name}, would reach "
            f"{percent(best.metrics['em1'])}\u00a0% at most."
        )
    return sentences + [_compare(first.name, name, hits) for name, hits in paired.items()]


def _compare(first: str, second: str, hits: PairedHits) -> str:
    """What lies between two systems, and whether these questions can tell."""
    low, high = (100 * end for end in hits.interval)
    verdict = "tell the two apart" if hits.told_apart else "do not tell the two apart"
    return (
        f"{first} against {second}: {100 * hits.difference:+.2f} points EM@1 (95\u00a0% interval over scenes "
        f"{low:+.2f} to {high:+.2f}). {hits.first_only:,} questions are right only with the first, "
        f"{hits.second_only:,} only with the second: McNemar's exact p {p_text(hits.p_value)}. These questions "
        f"{verdict}; another seed of the same training may differ by more, so train at least three."
    )
