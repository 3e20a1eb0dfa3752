"""The tables of the report on answers. Per cent, as the field prints them; `metrics.json` holds shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perception.metrics.mcnemar import PairedHits
from perception.metrics.question_answering import QUESTION_TYPES
from perception_tools.report.page import Cell, Table
from perception_tools.scene_qa.published import PUBLISHED, PublishedAnswers
from perception_tools.scene_qa.report.evaluation import SystemEvaluation

COLUMNS = {
    "em1": "EM@1",
    "em10": "EM@10",
    "em1_cleaned": "EM@1 cleaned",
    "refined": "refined",
    "lenient": "lenient",
}
"""Name in `metrics.json` → heading."""

RULE_NAMES = {"first_token": "first token", "mcan": "MCAN's loader"}

SHOWN_CONFUSIONS, SHOWN_FAILURES = 12, 12


def score_table(evaluations: Sequence[SystemEvaluation]) -> Table:
    """Every system under every rule of matching, with intervals."""
    rows = []
    for e in evaluations:
        unknown = e.metrics["unknown_as_class"] or {"em1": None, "em10": None}
        cells = [_with_interval(e.metrics, name) for name in COLUMNS]
        rows.append((e.name, [*cells, Cell(percent(unknown["em1"])), Cell(percent(unknown["em10"]))]))
    headings = ("system", *COLUMNS.values(), "EM@1, unknown counts", "EM@10, unknown counts")
    return Table("scores", "All questions, %; below, the 95 % bootstrap interval over scenes", headings, rows)


def type_tables(evaluations: Sequence[SystemEvaluation]) -> list[Table]:
    """EM@1 by question type, one table for each rule that tells the type."""
    tables = []
    for rule, name in RULE_NAMES.items():
        groups = [e.metrics["by_type"][rule] for e in evaluations]
        types = [t for t in QUESTION_TYPES if t in groups[0]]
        headings = ("system", *(f"{t.capitalize()} ({groups[0][t]['questions']:,})" for t in types))
        rows = [
            (e.name, [_with_interval(group[t], "em1") for t in types])
            for e, group in zip(evaluations, groups, strict=True)
        ]
        tables.append(Table(f"types-{rule}", f"EM@1 by question type, told by {name}, %", headings, rows))
    return tables


def published_table(evaluations: Sequence[SystemEvaluation]) -> Table:
    """This evaluation's systems first, then the rows of others with their sources."""
    rows = [(e.name, _measured_cells(e)) for e in evaluations]
    rows += [(row.method, _published_cells(row)) for row in PUBLISHED]
    headings = ("method", "source", "EM@1", "EM@10", *(t.capitalize() for t in QUESTION_TYPES), "types by")
    return Table("published-answers", "SQA3D, test split, %", headings, rows)


def paired_table(first: str, paired: Mapping[str, PairedHits]) -> Table:
    """The first system against every other one, question by question."""
    rows = []
    for name, hits in paired.items():
        low, high = (100 * end for end in hits.interval)
        difference = Cell(f"{100 * hits.difference:+.2f}", f"[{low:+.2f}, {high:+.2f}]")
        counts = (hits.both, hits.first_only, hits.second_only, hits.neither)
        rows.append((name, [difference, *(Cell(f"{count:,}") for count in counts), Cell(p_text(hits.p_value))]))
    headings = (f"{first} against", "EM@1, points", "both right", "first only", "second only", "neither", "McNemar's p")
    caption = "Question by question: difference with its 95 % bootstrap interval over scenes, and McNemar's exact test"
    return Table("paired", caption, headings, rows)


def localization_table(evaluations: Sequence[SystemEvaluation]) -> Table | None:
    """Where the systems believe the asker to stand; None where none says."""
    rows = []
    for e in evaluations:
        if scores := e.metrics["localization"]:
            names = ("acc_0.5m", "acc_1m", "acc_15deg", "acc_30deg")
            cells = [Cell(f"{scores[key]:,}") for key in ("questions", "given")]
            rows.append((e.name, [*cells, *(Cell(percent(scores[name])) for name in names)]))
    headings = ("system", "questions", "with a guess", "within 0.5 m", "within 1 m", "within 15°", "within 30°")
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
        rows.append((question.scene_id, [asked, Cell(" / ".join(question.answers)), Cell(given)]))
    headings = ("scene", "question, and where it was asked", "true answer", "first given answers")
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


def _measured_cells(e: SystemEvaluation) -> list[Cell]:
    groups = e.metrics["by_type"]["first_token"]
    source = Cell("this report", "same questions" if e.on_test_split else "other questions: not comparable")
    types = [Cell(percent(groups[t]["em1"]) if t in groups else "–") for t in QUESTION_TYPES]
    return [source, Cell(percent(e.metrics["em1"])), Cell(percent(e.metrics["em10"])), *types, Cell("first token")]


def _published_cells(row: PublishedAnswers) -> list[Cell]:
    source = Cell(row.source, "; ".join(filter(None, ["published" if row.checked else "second-hand", row.note])))
    types = row.by_type or (None,) * len(QUESTION_TYPES)
    numbers = [Cell("–" if value is None else f"{value:.2f}") for value in (row.em1, row.em10, *types)]
    return [source, *numbers, Cell(RULE_NAMES[row.types] if row.types else "–")]
