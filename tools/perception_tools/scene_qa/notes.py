"""What a reader must know before quoting a score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from perception.metrics.answer_gaming import EasyAnswer, refined_match
from perception.metrics.answer_matching import normalize_answer
from perception.metrics.question_answering import AnswerTable
from perception_tools.scene_qa.report.evaluation import SystemEvaluation

SUSPECT_SHARE = 0.02
"""Share of all questions from which on a kind of match is remarked on."""

SUSPECT_WAYS = {
    "letters": "match letters, not words",
    "long": "hold the true answer among at least six words more",
}


def refined_ways(table: AnswerTable) -> dict[str, int]:
    """Counts how the first answers are right by the refined rule; see `refined_match`."""
    ways = Counter(_ways(table))
    return {way: ways[way] for way in ("equal", "words", "long", "letters")}


def notes_on(evaluation: SystemEvaluation) -> list[str]:
    """Remarks on one system's answers."""
    name, scores, table = evaluation.name, evaluation.metrics, evaluation.table
    total, notes = len(table.questions), []
    if silent := scores["unanswered"]:
        notes.append(f"{name}: {silent:,} of {total:,} questions have no answer; they count as wrong.")
    if empty := sum(not normalize_answer(ranked[0] if ranked else "").strip() for ranked in table.answers):
        accepted = (f"{100 * (scores[rule] + empty / total):.2f} % {rule}" for rule in ("refined", "lenient"))
        notes.append(
            f"{name}: LEO's and SQA3D's scripts take an empty answer as right, we as wrong; for the {empty:,} answers "
            f"that are missing or empty they would print {' and '.join(accepted)}."
        )
    if scores["most_ranked"] == 1:
        notes.append(f"{name}: one answer a question was given, so EM@10 is EM@1.")
    gap = round(total * (scores["em1_cleaned"] - scores["em1"]))
    if gap > 0:
        notes.append(
            f"{name}: right but for case, punctuation, articles or digits: {gap:,}, such as {_form_example(table)}. "
            "EM@1 counts them as wrong, “EM@1 cleaned” as right."
        )
    notes += _suspect_matches(evaluation)
    if evaluation.is_oracle:
        notes.append(f"{name} was counted on the very questions that it answers: an oracle, no model.")
    return notes


def notes_on_rules(easy: Sequence[EasyAnswer]) -> list[str]:
    """Says what the refined and the lenient rule give for nothing on these questions."""
    texts = [
        f"{answer.answer} {100 * answer.refined:.1f} % refined and {100 * answer.lenient:.1f} % lenient"
        for answer in easy
    ]
    return [f"Given to every question, some answers that say nothing score well: {'; '.join(texts)}."]


def _suspect_matches(evaluation: SystemEvaluation) -> list[str]:
    ways, questions = _ways(evaluation.table), evaluation.table.questions
    notes = []
    for way, words in SUSPECT_WAYS.items():
        rows = [row for row, found in enumerate(ways) if found == way]
        if len(rows) > SUSPECT_SHARE * len(questions):
            given = evaluation.table.answers[rows[0]][0]
            true = next(t for t in questions[rows[0]].answers if refined_match(given, [t]) == way)
            notes.append(
                f"{evaluation.name}: {len(rows):,} of {sum(map(bool, ways)):,} answers that are right by the refined "
                f"rule {words}, such as {_brief(given)} for {true!r}; do not quote the refined score without this."
            )
    return notes


def _ways(table: AnswerTable) -> list[str | None]:
    return [
        refined_match(ranked[0], question.answers) if ranked else None
        for ranked, question in zip(table.answers, table.questions, strict=True)
    ]


def _brief(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}…")


def _form_example(table: AnswerTable) -> str:
    """The first answer that differs from a true one in form only."""
    row = int(np.flatnonzero((table.column("em1_cleaned") == 1) & (table.column("em1") == 0))[0])
    given = table.answers[row][0]
    true = next(t for t in table.questions[row].answers if normalize_answer(t) == normalize_answer(given))
    return f"{given!r} for {true!r}"
