"""The tables of the report on answers. Per cent, as the field prints them; `metrics.json` holds shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from perception.metrics.answer_gaming import EasyAnswer
from perception.metrics.answer_matching import RULES
from perception.metrics.mcnemar import PairedHits
from perception.metrics.paired import PairedDifference
from perception.metrics.question_answering import QUESTION_TYPES
from perception_tools.report.page import Cell, Table
from perception_tools.scene_qa.comparison import RecipeScores
from perception_tools.scene_qa.published import PUBLISHED, PublishedAnswers
from perception_tools.scene_qa.report.evaluation import BlindFilter, SystemEvaluation

COLUMNS = {name: rule.heading for name, rule in RULES.items()}
"""Name in `metrics.json` → heading."""

PLACES = {"acc_0.5m": "within 0.5 m", "acc_1m": "within 1 m", "acc_15deg": "within 15°", "acc_30deg": "within 30°"}
UNKNOWN = {"em1_unknown": "EM@1, unknown counts", "em10_unknown": "EM@10, unknown counts"}

RULE_NAMES = {"first_token": "first token", "mcan": "MCAN's loader"}

SHOWN_CONFUSIONS, SHOWN_FAILURES = 12, 12


def score_table(evaluations: Sequence[SystemEvaluation]) -> Table:
    """Every system under every rule of matching, with intervals."""
    rows = []
    for e in evaluations:
        unknown = e.metrics["unknown_as_class"] or {"em1": None, "em10": None}
        cells = [_with_interval(e.metrics, name) for name in COLUMNS]
        rows.append((e.name, [*cells, Cell(percent(unknown["em1"])), Cell(percent(unknown["em10"]))]))
    headings = ("system", *COLUMNS.values(), *UNKNOWN.values())
    return Table("scores", "All questions, %; below, the 95 % bootstrap interval over scenes", headings, rows)


def type_tables(evaluations: Sequence[SystemEvaluation]) -> dict[str, list[Table]]:
    """A table by question type under each rule that tells the type, for every score: heading of the score → tables."""
    return {
        heading: [_type_table(evaluations, rule, name) for rule in evaluations[0].metrics["by_type"]]
        for name, heading in COLUMNS.items()
    }


def _type_table(evaluations: Sequence[SystemEvaluation], rule: str, score: str) -> Table:
    groups = [e.metrics["by_type"][rule] for e in evaluations]
    types = list(groups[0])
    headings = ("system", *(f"{t.capitalize()} ({groups[0][t]['questions']:,})" for t in types))
    rows = [
        (e.name, [_with_interval(group[t], score) for t in types]) for e, group in zip(evaluations, groups, strict=True)
    ]
    told_by = RULE_NAMES.get(rule, rule)
    return Table(f"types-{rule}-{score}", f"{COLUMNS[score]} by question type, told by {told_by}, %", headings, rows)


def scene_table(evaluations: Sequence[SystemEvaluation]) -> Table:
    """EM@1 and the refined score of every scene, the scenes with the lowest EM@1 of the first system first."""
    scenes = [e.metrics["by_scene"] for e in evaluations]
    order = sorted(scenes[0], key=lambda name: (scenes[0][name]["em1"], name))
    rows = []
    for name in order:
        cells = [Cell(percent(of[name]["em1"]), f"refined {percent(of[name]['refined'])}") for of in scenes]
        rows.append((name, [Cell(f"{scenes[0][name]['questions']:,}"), *cells]))
    headings = ("scene", "questions", *(e.name for e in evaluations))
    return Table("scenes", "EM@1 by scene, %", headings, rows)


def group_tables(evaluations: Sequence[SystemEvaluation]) -> list[Table]:
    """Shares of groups of questions that are all right, for each grouping."""
    tables = []
    for grouping, first in evaluations[0].metrics["all_right"].items():
        rows = [
            (e.name, [Cell(percent(e.metrics["all_right"][grouping][name])) for name in COLUMNS]) for e in evaluations
        ]
        caption = f"Share of {first['groups']:,} {grouping}s whose questions are all right, %"
        tables.append(Table(f"all-right-{grouping}", caption, ("system", *COLUMNS.values()), rows))
    return tables


def recipe_table(recipes: Sequence[RecipeScores]) -> Table:
    """Means over the runs of each recipe, with the first recipe's difference to each other one."""
    rows = []
    for of in recipes:
        cells = []
        for name in COLUMNS:
            scores = np.array(of.scores[name])
            spread = f" ± {100 * scores.std(ddof=1):.2f}" if len(scores) > 1 else ""
            note = difference_text(of.against[name]) if name in of.against else ""
            cells.append(Cell(f"{percent(float(scores.mean()))}{spread}", note))
        rows.append((of.recipe, [Cell(f"{len(of.runs)}", ", ".join(of.runs)), *cells]))
    caption = (
        f"Mean ± standard deviation over runs, %; below, {recipes[0].recipe} minus this recipe in points, with the "
        "95 % interval of a bootstrap over seeds and scenes, which is too narrow for few seeds"
    )
    return Table("recipes", caption, ("recipe", "runs", *COLUMNS.values()), rows)


def blind_table(blind: BlindFilter) -> Table:
    """Scores on the questions that no blind system answers."""
    rows = [(name, [_with_interval(scores, score) for score in COLUMNS]) for name, scores in blind.metrics.items()]
    left = next(iter(blind.metrics.values()))["questions"]
    caption = f"The {left:,} questions that {', '.join(blind.names)} does not answer, %"
    return Table("beyond-blind-scores", caption, ("system", *COLUMNS.values()), rows)


def rule_table(easy: Sequence[EasyAnswer]) -> Table:
    """What each score means, who prints it, and what answers that say nothing reach."""
    free = {
        name: "; ".join(f"{a.answer}: {percent(getattr(a, name))} %" for a in easy) for name in ("refined", "lenient")
    }
    rows = [
        (rule.heading, [Cell(rule.definition), Cell(rule.used_by), Cell(free.get(name, "–"))])
        for name, rule in RULES.items()
    ]
    headings = ("score", "an answer is right if", "used by", "reached by one answer to every question")
    return Table("rules", "The rules of matching", headings, rows)


def published_table(evaluations: Sequence[SystemEvaluation]) -> Table:
    """This evaluation's systems first, then the rows of others with their sources."""
    rows = [(e.name, _measured_cells(e)) for e in evaluations]
    rows += [(row.method, _published_cells(row)) for row in PUBLISHED]
    headings = ("method", "source", "rule", *COLUMNS.values(), *(t.capitalize() for t in QUESTION_TYPES), "types by")
    caption = "SQA3D, test split, %; the types are of the first score of a row"
    return Table("published-answers", caption, headings, rows)


def paired_table(first: str, second: str, paired: Mapping[str, PairedHits], table_id: str) -> Table:
    """The first system against another one, question by question, for every score."""
    rows = []
    for name, hits in paired.items():
        low, high = (100 * end for end in hits.interval)
        difference = Cell(f"{100 * hits.difference:+.2f}", f"[{low:+.2f}, {high:+.2f}]")
        counts = (hits.both, hits.first_only, hits.second_only, hits.neither)
        verdict = Cell("yes" if hits.told_apart else "no")
        rows.append(
            (score_name(name), [difference, *(Cell(f"{n:,}") for n in counts), Cell(p_text(hits.p_value)), verdict])
        )
    headings = (
        f"{first} against {second}", "points", "both right", "first only", "second only", "neither", "McNemar's p",
        "told apart",
    )  # fmt: skip
    caption = "Difference with its 95 % bootstrap interval over scenes, and McNemar's exact test, for every score"
    return Table(table_id, caption, headings, rows)


def score_name(name: str) -> str:
    """Returns the heading of a score of `metrics.json`; `situation_em1` is EM@1 of whole situations."""
    known = COLUMNS | UNKNOWN | PLACES
    if name in known:
        return known[name]
    grouping, _, score = name.partition("_")
    return f"{known[score]}, whole {grouping}s"


def localization_table(evaluations: Sequence[SystemEvaluation]) -> Table | None:
    """Where the systems believe the asker to stand; None where none says."""
    rows = []
    for e in evaluations:
        if scores := e.metrics["localization"]:
            cells = [Cell(f"{scores[key]:,}") for key in ("questions", "given")]
            rows.append((e.name, [*cells, *(Cell(percent(scores[name])) for name in PLACES)]))
    headings = ("system", "questions", "with a guess", *PLACES.values())
    caption = "Position in the floor plane and direction about z, %; a question without a guess counts as wrong"
    return Table("localization", caption, headings, rows) if rows else None


def confusion_table(evaluation: SystemEvaluation, table_id: str) -> Table:
    """What a system most often says instead of what."""
    wrong = [(pair, count) for pair, count in evaluation.confusions().most_common() if pair[0] != pair[1]]
    rows = [(true, [Cell(given), Cell(f"{count:,}")]) for (true, given), count in wrong[:SHOWN_CONFUSIONS]]
    caption = f"{evaluation.name}: most frequent wrong answers"
    return Table(table_id, caption, ("true answer", "given answer", "questions"), rows)


def failure_table(evaluation: SystemEvaluation, table_id: str) -> Table:
    """Some wrongly answered questions, evenly over the split, to be read."""
    table = evaluation.table
    wrong = [row for row, right in enumerate(table.column("em1")) if not right]
    rows = []
    for row in wrong[:: max(1, -(-len(wrong) // SHOWN_FAILURES))]:
        question = table.questions[row]
        given = ", ".join(table.answers[row][:3]) or "(no answer)"
        asked = Cell(question.question, question.situation)
        cells = [Cell(question.scene_id), asked, Cell(" / ".join(question.answers)), Cell(given)]
        rows.append((str(evaluation.id_of(question)), cells))
    headings = ("question_id", "scene", "question, and where it was asked", "true answer", "first given answers")
    return Table(table_id, f"{evaluation.name}: some of {len(wrong):,} wrong answers", headings, rows)


def percent(share: float | None) -> str:
    """Two digits, as published tables print them."""
    return "–" if share is None else f"{100 * share:.2f}"


def p_text(p_value: float) -> str:
    """A p-value without false precision."""
    return "< 0.0001" if p_value < 0.0001 else f"= {p_value:.4f}"


def _with_interval(scores: dict, name: str) -> Cell:
    low, high = scores["interval"][name]
    return Cell(percent(scores[name]), f"[{percent(low)}, {percent(high)}]")


def difference_text(comparison: PairedDifference) -> str:
    """Difference and interval, in points per cent."""
    low, high = (100 * end for end in comparison.interval)
    return f"{100 * comparison.difference:+.2f} [{low:+.2f}, {high:+.2f}]"


def _measured_cells(e: SystemEvaluation) -> list[Cell]:
    groups = e.types
    source = Cell("this report", "same questions" if e.on_test_split else "other questions: not comparable")
    types = [Cell(percent(groups[t]["em1"]) if t in groups else "–") for t in QUESTION_TYPES]
    scores = [Cell(percent(e.metrics[name])) for name in COLUMNS]
    return [source, Cell("all five"), *scores, *types, Cell("first token")]


def _published_cells(row: PublishedAnswers) -> list[Cell]:
    source = Cell(row.source, "; ".join(filter(None, ["published" if row.checked else "second-hand", row.note])))
    types = row.by_type or (None,) * len(QUESTION_TYPES)
    scores = (row.scores.get(name) for name in COLUMNS)
    numbers = [Cell("–" if value is None else f"{value:.2f}") for value in (*scores, *types)]
    return [source, Cell(row.rule), *numbers, Cell(RULE_NAMES[row.types] if row.types else "–")]
