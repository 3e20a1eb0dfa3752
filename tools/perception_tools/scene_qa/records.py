"""Every question with the answers of each system: records.parquet for analysis, answers.jsonl for reading."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from perception.files import whole_file
from perception.metrics.answer_gaming import refined_match
from perception.metrics.question_answering import HEADLINE, METRICS, AnswerTable
from perception_tools.scene_qa.report.evaluation import SystemEvaluation


def answer_records(evaluations: Sequence[SystemEvaluation]) -> list[dict[str, object]]:
    """Returns a record of every question for every system, system by system.

    Scores are 0 or 1. `refined_way` says how an answer is right by the refined rule (`refined_match`). Distances are in
    metres and angles in radians, for questions whose place is known and guessed.
    """
    return [record for evaluation in evaluations for record in _records_of(evaluation)]


def _records_of(evaluation: SystemEvaluation) -> Iterator[dict[str, object]]:
    table, places = evaluation.table, _places(evaluation)
    scores = HEADLINE if table.in_vocabulary is None else METRICS
    for row, question in enumerate(table.questions):
        ranked, chances = table.answers[row], evaluation.probabilities.get(question.id)
        distance, angle = places.get(question.id, (None, None))
        yield {
            "question_id": evaluation.id_of(question),
            "system": evaluation.name,
            "scene_id": question.scene_id,
            **{_column(name, table): of[row] for name, of in table.kinds.items()},
            "situation": question.situation,
            "question": question.question,
            "true_answers": list(question.answers),
            "answer": ranked[0] if ranked else None,
            "answers": list(ranked),
            "probabilities": None if chances is None else [float(chance) for chance in chances],
            **{name: int(table.column(name)[row]) for name in scores},
            "refined_way": refined_match(ranked[0], question.answers) if ranked else None,
            "distance_m": distance,
            "angle_rad": angle,
        }


def _column(kind: str, table: AnswerTable) -> str:
    """The first classification is called `type`."""
    return "type" if kind == next(iter(table.kinds)) else f"type_{kind}"


def _places(evaluation: SystemEvaluation) -> dict[int, tuple[float | None, float | None]]:
    """Errors by question id; None where the system says nothing."""
    if evaluation.places is None:
        return {}
    known = [question.id for question in evaluation.table.questions if question.viewpoint is not None]
    errors = zip(evaluation.places.distance_m.tolist(), evaluation.places.angle_rad.tolist(), strict=True)
    silent = float("inf")
    return {
        number: (None, None) if distance == silent else (distance, angle)
        for number, (distance, angle) in zip(known, errors, strict=True)
    }


def write_answers(path: Path, evaluations: Sequence[SystemEvaluation]) -> None:
    """Writes every question with the answers of all systems, one JSON object a line, for a look at the failures."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row, question in enumerate(evaluations[0].table.questions):
            record = {
                "question_id": evaluations[0].id_of(question),
                "scene_id": question.scene_id,
                "type": next(iter(evaluations[0].table.kinds.values()))[row],
                "situation": question.situation,
                "question": question.question,
                "true_answers": question.answers,
            }
            record["systems"] = {e.name: {"answers": e.table.answers[row], **_hits(e.table, row)} for e in evaluations}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _hits(table: AnswerTable, row: int) -> dict[str, bool]:
    return {metric: bool(table.column(metric)[row]) for metric in HEADLINE}
