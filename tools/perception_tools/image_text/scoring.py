"""Answers to VQAv2's questions scored: tables, what blind answers score beside them, and what looks like a mix-up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from perception.errors import InputError, first_of
from perception.metrics.vqa_accuracy import ANSWER_TYPES, OVERALL, BlindAnswers, VqaTable, blind_answers, vqa_accuracy
from perception_datasets.image_text.vqa import VqaQuestion
from perception_tools.image_text.comparison import PerRecord, Scores, compare
from perception_tools.json_files import write_json
from perception_tools.records_file import RecordsWriter

HUMAN = 0.83
"""What people reach on VQA by this measure, about (Antol et al., https://arxiv.org/abs/1505.00468, table 1)."""


def score_vqa(questions: Sequence[VqaQuestion], answers: Mapping[int, str]) -> VqaTable:
    """Scores the answer of each question id; a question without one counts as wrong.

    Raises:
        InputError: There are no questions, or they have no annotations.
    """
    if not questions or not all(question.answers for question in questions):
        raise InputError("scoring answers: expected questions with annotations, found none; give --annotations")
    given = tuple(answers.get(question.id) for question in questions)
    accuracy = [
        0.0 if answer is None else vqa_accuracy(answer, question.answers)
        for answer, question in zip(given, questions, strict=True)
    ]
    return VqaTable(
        ids=tuple(question.id for question in questions),
        answers=given,
        accuracy=np.array(accuracy),
        pictures=np.unique([question.image_id for question in questions], return_inverse=True)[1],
        answer_types=tuple(question.answer_type for question in questions),
        question_types=tuple(question.question_type for question in questions),
    )


def vqa_scores(table: VqaTable) -> Scores:
    """Accuracy of all questions and of each answer type, record by record."""
    kinds = np.array(table.answer_types)
    rows = {OVERALL: np.ones(len(kinds), dtype=bool)} | {kind: kinds == kind for kind in ANSWER_TYPES}
    return {name: PerRecord(table.accuracy[of], table.pictures[of]) for name, of in rows.items() if of.any()}


def blind_of(questions: Sequence[VqaQuestion]) -> BlindAnswers:
    """What answers score that ignore the pictures, chosen with these annotations in hand."""
    return blind_answers([of.answers for of in questions], [of.question_type for of in questions])


def remarks_on(name: str, questions: Sequence[VqaQuestion], table: VqaTable, blind: BlindAnswers) -> Iterator[str]:
    """Yields what is suspicious about a system's answers, one sentence each."""
    given = [answer for answer in table.answers if answer is not None]
    check = "Check that the file holds predictions, not true answers"
    overall = float(table.accuracy.mean())
    if len(given) < len(questions):
        missing = [str(i) for i, answer in zip(table.ids, table.answers, strict=True) if answer is None]
        yield f"{name}: {len(missing):,} questions have no answer, which counts as wrong: {first_of(missing)}."
    if len(given) > 1 and len(set(given)) == 1:
        yield f"{name}: all {len(given):,} answers are the same, {given[0]!r}."
    if given and all(of.frequent_answer == a for of, a in zip(questions, table.answers, strict=True)):
        yield f"{name}: every answer is the annotators' most frequent one. {check}."
    elif overall > HUMAN:
        yield f"{name}: its accuracy, {100 * overall:.2f} %, is above people's, about {100 * HUMAN:.0f} %. {check}."
    if given and not table.accuracy.any():
        yield f"{name}: no answer is worth anything. Check which field holds the answers."
    if overall <= blind.by_question_type:
        yield (
            f"{name}: not better than the best answer to each type of question, {100 * blind.by_question_type:.2f} %, "
            "which looks at no picture (but was chosen with the true answers in hand)."
        )


def score_side_by_side(
    questions: Sequence[VqaQuestion], answers: Mapping[str, Mapping[int, str]], out: Path, further: Mapping
) -> dict:
    """Scores systems, the first against each of the others: metrics.json, records.parquet, and the screen.

    Args:
        questions: Annotated questions.
        answers: Name of a system → its answers by question id.
        out: Folder for the files.
        further: What metrics.json holds beside.
    """
    tables = {name: score_vqa(questions, of) for name, of in answers.items()}
    blind = blind_of(questions)
    first, *others = tables
    numbers = {name: table.as_json() for name, table in tables.items()}
    remarks = [remark for name, table in tables.items() for remark in remarks_on(name, questions, table, blind)]
    metrics = numbers[first] | {
        "name": first,
        "others": {name: numbers[name] for name in others},
        "paired": {name: compare(vqa_scores(tables[first]), vqa_scores(tables[name])) for name in others},
        "blind_answers": asdict(blind),
        "remarks": remarks,
        **further,
    }
    write_vqa_records(out / "records.parquet", questions, tables)
    write_json(out / "metrics.json", metrics)
    print_accuracy(metrics)
    return metrics


def write_vqa_records(path: Path, questions: Sequence[VqaQuestion], tables: Mapping[str, VqaTable]) -> None:
    """Writes a row for every question and system."""
    with RecordsWriter(path) as records:
        for name, table in tables.items():
            records.add(
                {
                    "question_id": list(table.ids),
                    "system": [name] * len(questions),
                    "image_id": [of.image_id for of in questions],
                    "question": [of.question for of in questions],
                    "question_type": list(table.question_types),
                    "answer_type": list(table.answer_types),
                    "true_answers": [list(of.answers) for of in questions],
                    "answer": [answer or "" for answer in table.answers],
                    "accuracy": table.accuracy,
                }
            )


def print_accuracy(metrics: Mapping) -> None:
    """Prints every system's accuracy, what blind answers score, differences and remarks."""
    tables = {metrics["name"]: metrics} | metrics["others"]
    kinds = list(metrics["accuracy"])
    width = max(map(len, [*tables, "best answer to each question type*"]))
    print(f"\n{metrics['questions']:,} questions about {metrics['pictures']:,} pictures; accuracy in per cent")
    print(f"{'':<{width}} " + " ".join(f"{kind:>8}" for kind in kinds))
    for name, of in tables.items():
        print(f"{name:<{width}} " + " ".join(f"{100 * of['accuracy'][kind]:8.2f}" for kind in kinds))
        for shown, words in (("without_picture", "picture removed"), ("shuffled_pictures", "other pictures")):
            if shown in of:
                cells = " ".join(f"{100 * of[shown]['accuracy'][kind]:8.2f}" for kind in kinds)
                print(f"{f'  {words}':<{width}} {cells}")
    blind = metrics["blind_answers"]
    always = f"always {blind['answer']!r}*"
    print(f"{always:<{width}} {100 * blind['constant']:8.2f}")
    print(f"{'best answer to each question type*':<{width}} {100 * blind['by_question_type']:8.2f}")
    print("* looks at no picture; chosen with the true answers in hand")
    for name, of in metrics["paired"].items():
        low, high = of[OVERALL]["interval"]
        verdict = "told apart" if of[OVERALL]["told_apart"] else "not told apart"
        print(
            f"{metrics['name']} against {name}: {100 * of[OVERALL]['difference']:+.2f} points [95 % over pictures "
            f"{100 * low:+.2f} to {100 * high:+.2f}], McNemar's p {of[OVERALL]['p_value']:.2g}, {verdict}"
        )
    for remark in metrics["remarks"]:
        print(remark)
