"""Systems that answer questions about scenes, on the same questions: scored, told apart, and put into a report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from perception.baselines.majority import majority, majority_per_type
from perception.errors import InputError
from perception.files import whole_file
from perception.metrics.answer_matching import normalize_answer
from perception.metrics.localization import localization_accuracies, localization_errors
from perception.metrics.mcnemar import PairedHits
from perception.metrics.question_answering import HEADLINE, AnswerTable, question_type, score_answers
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception.texts.answers import AnswerVocabulary
from perception_tools.json_files import write_json
from perception_tools.scene_qa.report.evaluation import SystemEvaluation
from perception_tools.scene_qa.report.writer import write_scene_qa_report

BASELINES = {"majority": majority, "majority-per-type": majority_per_type}
"""Name → what gives it. Counted on the very questions that are asked: the most that such a guess could reach."""

NAMED_IDS = 5
"""How many question ids an error message names."""


@dataclass(frozen=True)
class AnsweringSystem:
    """Answers of one system: a file of predictions, a trained model, or a baseline.

    Attributes:
        name: Name of its row in every table.
        answers: Ranked, the best first, by question id.
        viewpoints: Where it believes the asker to stand, by question id, in the frame of the questions' own.
        is_oracle: Whether it was counted on the very questions that it answers.
    """

    name: str
    answers: Mapping[int, Sequence[str]]
    viewpoints: Mapping[int, Viewpoint] = field(default_factory=dict)
    is_oracle: bool = False


def baseline(name: str, questions: Sequence[SceneQuestion]) -> AnsweringSystem:
    """One of `BASELINES`, counted on the questions themselves."""
    return AnsweringSystem(name, BASELINES[name](questions, questions), is_oracle=True)


def evaluate_answers(
    questions: Sequence[SceneQuestion],
    systems: Sequence[AnsweringSystem],
    out: Path,
    *,
    vocabulary: AnswerVocabulary | None,
    data_name: str,
    notes: Sequence[str] = (),
) -> dict:
    """Shows the scores, writes metrics.json, answers.jsonl and report.html into `out`; gives what metrics.json holds.

    The first system's numbers stand at the top, the others' under `others`, where both majority baselines always are.
    `paired` compares the first with every other system that was asked for, on `em1`: McNemar's exact test, and the
    difference with its interval over scenes.

    Raises:
        InputError: A system answers questions that were not asked, or two systems have one name.
    """
    if not systems:
        raise InputError("expected at least one system, got none; give --predictions or --baseline")
    for system in systems:
        _check_ids(system, questions)
    asked_for = {system.name for system in systems if system.is_oracle}
    context = [baseline(name, questions) for name in BASELINES if name not in asked_for]
    names = [system.name for system in (*systems, *context)]
    if len(set(names)) < len(names):
        raise InputError(f"expected systems of different names, got {', '.join(names)}; rename one")
    evaluations = [_evaluate(system, questions, vocabulary) for system in (*systems, *context)]
    paired = _paired(evaluations[: len(systems)])
    notes = [*notes, *_notes(evaluations[: len(systems)], vocabulary)]  # those of the caller first
    metrics = _metrics(evaluations, paired, data_name, notes)
    _print_table(evaluations, notes)
    write_json(out / "metrics.json", metrics)
    _write_answers(out / "answers.jsonl", evaluations[: len(systems)])
    write_scene_qa_report(out / "report.html", evaluations, paired, data_name=data_name, notes=notes)
    print("\n".join(str(out / name) for name in ("metrics.json", "answers.jsonl", "report.html")))
    return metrics


def _check_ids(system: AnsweringSystem, questions: Sequence[SceneQuestion]) -> None:
    asked = {question.id for question in questions}
    unknown = [number for number in (*system.answers, *system.viewpoints) if number not in asked]
    if unknown:
        shown = ", ".join(map(str, unknown[:NAMED_IDS])) + (", …" if len(unknown) > NAMED_IDS else "")
        raise InputError(
            f"{system.name}: expected answers to the {len(asked):,} questions asked, got {len(unknown):,} for question "
            f"ids that are not among them ({shown}); evaluate with the questions of the split that was predicted"
        )


def _evaluate(
    system: AnsweringSystem, questions: Sequence[SceneQuestion], vocabulary: AnswerVocabulary | None
) -> SystemEvaluation:
    table = score_answers(questions, system.answers, vocabulary)
    metrics = table.as_json() | {"localization": _localization(system, questions)}
    return SystemEvaluation(system.name, table, metrics, system.is_oracle)


def _localization(system: AnsweringSystem, questions: Sequence[SceneQuestion]) -> dict | None:
    """Accuracies over every question whose viewpoint is known, those without a guess counted as wrong."""
    known = [(question.id, question.viewpoint) for question in questions if question.viewpoint is not None]
    pairs = [(system.viewpoints[number], true) for number, true in known if number in system.viewpoints]
    if not pairs:
        return None
    distance, angle = localization_errors(*zip(*pairs, strict=True))
    silent = len(known) - len(pairs)
    accuracies = localization_accuracies(
        np.pad(distance, (0, silent), constant_values=np.inf), np.pad(angle, (0, silent), constant_values=np.inf)
    )
    return {"questions": len(known), "given": len(pairs), **accuracies}


def _paired(evaluations: Sequence[SystemEvaluation]) -> dict[str, PairedHits]:
    """The first system against each of the others."""
    first, *others = evaluations
    hits = first.table.column("em1") == 1
    scenes = first.table.scenes
    return {other.name: PairedHits.count(hits, other.table.column("em1") == 1, scenes) for other in others}


def _metrics(
    evaluations: Sequence[SystemEvaluation], paired: Mapping[str, PairedHits], data_name: str, notes: Sequence[str]
) -> dict:
    first, *others = evaluations
    return first.metrics | {
        "name": first.name,
        "data": data_name,
        "notes": list(notes),
        "paired": {name: _paired_json(hits) for name, hits in paired.items()},
        "others": {other.name: other.metrics for other in others},
    }


def _paired_json(hits: PairedHits) -> dict:
    derived = {"difference": hits.difference, "interval": list(hits.interval), "p_value": hits.p_value}
    return asdict(hits) | derived | {"told_apart": hits.told_apart}


def _notes(evaluations: Sequence[SystemEvaluation], vocabulary: AnswerVocabulary | None) -> list[str]:
    """What a reader must know before quoting a number."""
    notes = []
    for evaluation in evaluations:
        scores, total = evaluation.metrics, len(evaluation.table.questions)
        if silent := scores["unanswered"]:
            notes.append(f"{evaluation.name}: {silent:,} of {total:,} questions have no answer; they count as wrong.")
        if scores["most_ranked"] == 1:
            notes.append(f"{evaluation.name}: one answer a question was given, so EM@10 is EM@1.")
        gap = round(total * (scores["em1_cleaned"] - scores["em1"]))
        if gap > 0:
            notes.append(
                f"{evaluation.name}: right but for case, punctuation, articles or digits: {gap:,}, such as "
                f"{_form_example(evaluation.table)}. EM@1 counts them as wrong, “EM@1 cleaned” as right."
            )
        if evaluation.is_oracle:
            notes.append(f"{evaluation.name} was counted on the very questions that it answers: an oracle, no model.")
    if vocabulary is None:
        notes.append("No answer dictionary was given or found, so answers outside it were not counted.")
    return notes


def _form_example(table: AnswerTable) -> str:
    """The first answer that differs from a true one in form only."""
    row = int(np.flatnonzero((table.column("em1_cleaned") == 1) & (table.column("em1") == 0))[0])
    given = table.answers[row][0]
    true = next(t for t in table.questions[row].answers if normalize_answer(t) == normalize_answer(given))
    return f"{given!r} for {true!r}"


def _write_answers(path: Path, evaluations: Sequence[SystemEvaluation]) -> None:
    """Every question with the answers of each system, one JSON object a line, for a look at the failures."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row, question in enumerate(evaluations[0].table.questions):
            record = {
                "question_id": question.id,
                "scene_id": question.scene_id,
                "type": question_type(question.question, "first_token"),
                "situation": question.situation,
                "question": question.question,
                "true_answers": question.answers,
                "systems": {e.name: {"answers": e.table.answers[row], **_hits(e.table, row)} for e in evaluations},
            }
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _hits(table: AnswerTable, row: int) -> dict[str, bool]:
    return {metric: bool(table.column(metric)[row]) for metric in HEADLINE}


def _print_table(evaluations: Sequence[SystemEvaluation], notes: Sequence[str]) -> None:
    """The whole split's numbers of every system, on the screen."""
    first = evaluations[0].metrics
    outside = first["out_of_vocabulary"]
    width = max(len(evaluation.name) for evaluation in evaluations)
    print(f"\n{first['questions']:,} questions in {first['scenes']} scenes", end="")
    print("" if outside is None else f", {outside} with answers outside the dictionary")
    print(f"{'':<{width}} " + " ".join(f"{name:>12}" for name in HEADLINE))
    for evaluation in evaluations:
        numbers = " ".join(f"{evaluation.metrics[name]:12.6f}" for name in HEADLINE)
        print(f"{evaluation.name:<{width}} {numbers}")
    print("\n".join(["", *notes, ""]))
