"""`perception score vqav2 FILE …`: anybody's answers to VQAv2's questions, as EvalAI takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from perception.errors import InputError


def score_vqav2(
    predictions: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE...")],
    questions: Path,
    annotations: Path,
    out: Path,
    answer_field: str | None = None,
    id_field: str | None = None,
) -> dict:
    """Scores answers to VQAv2's questions by the official rule: OUT/metrics.json, records.parquet and report.html.

    Numbers in metrics.json are shares from 0 to 1: overall, by answer type, and by question type, with intervals over
    pictures. The first system's stand at the top, the others' under `others`; `paired` compares the first with each
    of them. `blind_answers` is what one answer to everything, or to each type of question, scores.

    Args:
        predictions: What each system answered: EvalAI's [{"question_id": 1, "answer": "yes"}], or any other JSON, JSON
            lines or table with the question's id and an answer.
        questions: VQAv2's question file, such as v2_OpenEnded_mscoco_val2014_questions.json, or .json.gz.
        annotations: VQAv2's annotation file of the same split.
        out: Folder for the files.
        answer_field: Name of the field with the answer, in all files.
        id_field: Name of the field with the question's id, in all files.
    """
    from perception_datasets.image_text.vqa import read_questions
    from perception_tools.answer_files.formats import FieldChoice
    from perception_tools.answer_files.named_answers import read_named_answers
    from perception_tools.image_text.report.writer import write_answer_report
    from perception_tools.image_text.scoring import score_side_by_side
    from perception_tools.output_places import keep_apart

    if not predictions:
        raise InputError("score vqav2: expected at least one file of answers, got none; give one")
    keep_apart([out], [*predictions, questions, annotations])
    asked = read_questions(questions, annotations)
    ids = {str(question.id): question.id for question in asked}
    names = [path.name for path in predictions]
    if len(set(names)) < len(names):
        names = [str(path) for path in predictions]
    choice = FieldChoice(answer_field, id_field)
    answers = {}
    for name, path in zip(names, predictions, strict=True):
        ranked = read_named_answers(path, ids, choice)
        answers[name] = {number: of[0] for number, of in ranked.items() if of}
    metrics = score_side_by_side(asked, answers, out, {"data": questions.stem})
    write_answer_report(out / "report.html", metrics, questions.stem)
    return metrics
