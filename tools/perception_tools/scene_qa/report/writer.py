"""Writes the report on answers to questions about scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from perception.metrics.answer_gaming import EasyAnswer
from perception.metrics.answer_matching import RULES
from perception.metrics.mcnemar import PairedHits
from perception_tools.report.page import Table, write_page
from perception_tools.scene_qa.comparison import RecipeScores
from perception_tools.scene_qa.report.charts import confusion_chart, line_of, type_chart
from perception_tools.scene_qa.report.evaluation import BlindFilter, SystemEvaluation
from perception_tools.scene_qa.report.tables import (
    blind_table,
    confusion_table,
    failure_table,
    group_tables,
    localization_table,
    p_text,
    paired_table,
    percent,
    published_table,
    recipe_table,
    rule_table,
    scene_table,
    score_table,
    type_tables,
)


def write_scene_qa_report(
    path: Path,
    evaluations: Sequence[SystemEvaluation],
    paired: Mapping[str, Mapping[str, PairedHits]],
    *,
    data_name: str,
    notes: Sequence[str],
    easy: Sequence[EasyAnswer],
    recipes: Sequence[RecipeScores] = (),
    blind: BlindFilter | None = None,
    captions: Table | None = None,
) -> None:
    """Writes one self-contained page, for light and dark screens.

    Args:
        path: Path of the HTML file.
        evaluations: The systems that were asked for, then the baselines that stand beside them for orientation.
        paired: The first system against each other one that was asked for, by name, then by score.
        data_name: What was asked.
        notes: What to know before quoting a number.
        easy: Answers that say nothing, with what they score.
        recipes: Means over the runs of each recipe; empty where no recipe has several.
        blind: Scores on the questions that no blind system answers; None without a blind system.
        captions: CIDEr, BLEU, ROUGE-L and METEOR; None where they were not counted.
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
        findings=findings(evaluations, paired, recipes),
        types=Markup(type_chart([e for e in evaluations if e in asked or e.name == "majority-per-type"])),
        scores=score_table(evaluations),
        rules=rule_table(easy),
        captions=captions,
        type_tables=type_tables(evaluations),
        groups=group_tables(evaluations),
        scenes=scene_table(asked),
        published=published_table(asked) if "first_token" in first.metrics["by_type"] else None,
        paired=[paired_table(first.name, name, hits, f"paired-{i}") for i, (name, hits) in enumerate(paired.items())],
        recipes=recipe_table(recipes) if recipes else None,
        blind=blind_table(blind) if blind else None,
        blind_paired=[
            paired_table(first.name, name, hits, f"beyond-blind-{i}")
            for i, (name, hits) in enumerate((blind.paired if blind else {}).items())
        ],
        localization=localization_table(evaluations),
        confusions=[
            (Markup(confusion_chart(e, f"confusion-{i}")), confusion_table(e, f"confused-{i}"))
            for i, e in enumerate(asked)
        ],
        failures=[failure_table(e, f"wrong-{i}") for i, e in enumerate(asked)],
        notes=notes,
    )


def findings(
    evaluations: Sequence[SystemEvaluation],
    paired: Mapping[str, Mapping[str, PairedHits]],
    recipes: Sequence[RecipeScores] = (),
) -> list[str]:
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
    sentences += [_average(of) for of in recipes if len(of.runs) > 1]
    sentences += [_compare_recipes(recipes[0].recipe, of) for of in recipes[1:]]
    return sentences + [_compare(first.name, name, hits, bool(recipes)) for name, hits in paired.items()]


def _average(of: RecipeScores) -> str:
    scores = of.scores["em1"]
    return (
        f"{of.recipe}: {percent(sum(scores) / len(scores))}\u00a0% EM@1 on average over {len(scores)} runs "
        f"({percent(min(scores))} to {percent(max(scores))}). Quote the mean, not the best run."
    )


def _compare_recipes(first: str, of: RecipeScores) -> str:
    compared = of.against["em1"]
    low, high = (100 * end for end in compared.interval)
    verdict = "tells the recipes apart" if compared.told_apart else "does not tell the recipes apart"
    return (
        f"{first} against {of.recipe}, means over runs: {100 * compared.difference:+.2f} points EM@1. The 95\u00a0% "
        f"interval over seeds and scenes, {low:+.2f} to {high:+.2f}, {verdict}."
    )


def _compare(first: str, second: str, paired: Mapping[str, PairedHits], has_seeds: bool) -> str:
    """What lies between two systems, and whether these questions can tell, by exact match and by the other rules."""
    hits = paired["em1"]
    low, high = (100 * end for end in hits.interval)
    verdict = "tell the two apart" if hits.told_apart else "do not tell the two apart"
    unlike = [RULES[name].heading for name in RULES if _verdict(paired[name]) != _verdict(hits)]
    rules = f"the verdict by {', '.join(unlike)} is another one" if unlike else "every other rule says the same"
    seeds = "" if has_seeds else " Another seed of the same training may differ by more, so train at least three."
    return (
        f"{first} against {second}: {100 * hits.difference:+.2f} points EM@1 (95\u00a0% interval over scenes "
        f"{low:+.2f} to {high:+.2f}). {hits.first_only:,} questions are right only with the first, "
        f"{hits.second_only:,} only with the second: McNemar's exact p {p_text(hits.p_value)}. These questions "
        f"{verdict}; {rules}.{seeds}"
    )


def _verdict(hits: PairedHits) -> int:
    """Returns 1 if the first system is better, -1 if the second is, 0 if they are not told apart."""
    return 0 if not hits.told_apart else 1 if hits.difference > 0 else -1
