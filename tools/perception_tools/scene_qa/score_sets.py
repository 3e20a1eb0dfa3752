"""`perception score scanqa`, `msqa` and `real3dqa`: anybody's answers to the questions of data sets like SQA3D."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from perception.errors import InputError

if TYPE_CHECKING:
    from perception.scenes.scene import SceneQuestion
    from perception_tools.answer_files.formats import FieldChoice
    from perception_tools.scene_qa.scoring import QuestionDetails

Files = Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE...")]


def score_scanqa(
    predictions: Files,
    questions: Path,
    out: Path,
    clean: bool = False,
    answer_field: str | None = None,
    id_field: str | None = None,
) -> dict:
    """Scores answers to ScanQA's questions: OUT/metrics.json, records.parquet, answers.jsonl and report.html.

    Beside the rules of matching it counts CIDEr, BLEU, ROUGE-L and METEOR where pycocoevalcap is installed, and the
    share of objects whose questions are all right. Only the val and train splits have answers.

    Args:
        predictions: What each system answered: JSON {"question id": "answer"}, or a list or lines of objects with
            question_id and one of answer_top10, pred_response, prediction, text, ... Several are compared.
        questions: ScanQA's question file, such as ScanQA_v1.0_val.json.
        out: Folder for the files.
        clean: Removes what language models write around an answer, such as "Answer:", end tokens and explanations.
        answer_field: Name of the field with the answer, in all files; dots reach into objects, as in "result.text".
        id_field: Name of the field with the question's id, in all files.
    """
    from perception.scenes.scene import SceneQuestion
    from perception_datasets.sqa3d.scanqa import question_type, read_questions
    from perception_tools.answer_files.formats import FieldChoice
    from perception_tools.scene_qa.scoring import QuestionDetails

    read = read_questions(questions)
    if not any(of.answers for of in read):
        raise InputError(f"{questions}: expected true answers, found none; score val, the test answers are not public")
    asked = [SceneQuestion(i, of.scene_id, "", of.question, of.answers, None) for i, of in enumerate(read)]
    details = QuestionDetails(
        kinds={"scanqa": [question_type(of.question) for of in read]},
        groups={"object": [f"{of.scene_id} {sorted(of.object_ids)}" if of.object_ids else of.id for of in read]},
        ids={i: of.id for i, of in enumerate(read)},
        captions=True,
    )
    return _evaluate(asked, details, predictions, out, clean, FieldChoice(answer_field, id_field), questions.stem)


def score_msqa(
    predictions: Files,
    questions: Path,
    out: Path,
    clean: bool = False,
    answer_field: str | None = None,
    id_field: str | None = None,
) -> dict:
    """Scores answers to MSQA's questions: OUT/metrics.json, records.parquet, answers.jsonl and report.html.

    The refined score is what MSR3D prints as EM-R, except that it takes the first of several true answers alone. The
    score that a language model gives (GPT-Score) is not counted.

    Args:
        predictions: What each system answered: JSON {"index": "answer"}, or a list or lines of objects with index and
            one of response_pred, prediction, text, ... Several are compared.
        questions: MSQA's question file, such as msqa_scannet_test.json.
        out: Folder for the files.
        clean: Removes what language models write around an answer, such as "Answer:", end tokens and explanations.
        answer_field: Name of the field with the answer, in all files; dots reach into objects, as in "result.text".
        id_field: Name of the field with the question's id, in all files.
    """
    from perception.scenes.scene import SceneQuestion
    from perception_datasets.sqa3d.msqa import question_type, read_questions
    from perception_tools.answer_files.formats import FieldChoice
    from perception_tools.scene_qa.scoring import QuestionDetails

    read = read_questions(questions)
    asked = [SceneQuestion(i, of.scan_id, of.situation, of.question, of.answers, None) for i, of in enumerate(read)]
    details = QuestionDetails(
        kinds={"msqa": [question_type(of.type) for of in read]},
        ids={i: of.id for i, of in enumerate(read)},
        captions=True,
    )
    return _evaluate(asked, details, predictions, out, clean, FieldChoice(answer_field, id_field), questions.stem)


def score_real3dqa(
    predictions: Files,
    questions: tuple[Path, ...],
    out: Path,
    clean: bool = False,
    answer_field: str | None = None,
    id_field: str | None = None,
) -> dict:
    """Scores answers to Real-3DQA: one file of its filtered questions, or the four rotations of a question.

    With one file, as for SQA3D: OUT/metrics.json, records.parquet, answers.jsonl and report.html. With four, the
    viewpoint rotation score: OUT/metrics.json and records.parquet.

    Args:
        predictions: What the systems answered, by question_id. With four rotations, the answers of one system in the
            order of the question files.
        questions: Real-3DQA's question file, or rotation_0.json, rotation_90.json, rotation_180.json and
            rotation_270.json.
        out: Folder for the files.
        clean: Removes what language models write around an answer, such as "Answer:", end tokens and explanations.
        answer_field: Name of the field with the answer, in all files; dots reach into objects, as in "result.text".
        id_field: Name of the field with the question's id, in all files.
    """
    from perception.scenes.scene import SceneQuestion
    from perception_datasets.sqa3d.real3dqa import ROTATIONS_DEG, read_questions
    from perception_tools.answer_files.formats import FieldChoice
    from perception_tools.scene_qa.rotations import evaluate_rotations
    from perception_tools.scene_qa.scoring import QuestionDetails

    choice = FieldChoice(answer_field, id_field)
    if len(questions) == len(ROTATIONS_DEG) == len(predictions):
        return evaluate_rotations(questions, predictions, out, clean=clean, choice=choice)
    if len(questions) != 1:
        raise InputError(
            f"--questions: expected one file, or {len(ROTATIONS_DEG)} rotations with a file of answers to each, found "
            f"{len(questions)} with {len(predictions)}; name them in the order {', '.join(map(str, ROTATIONS_DEG))}"
        )
    read = read_questions(questions[0])
    asked = [SceneQuestion(of.id, of.scene_id, of.situation, of.question, of.answers, None) for of in read]
    kinds = {"real3dqa": [of.type for of in read]} if all(of.type for of in read) else None
    return _evaluate(asked, QuestionDetails(kinds=kinds), predictions, out, clean, choice, questions[0].stem)


def _evaluate(
    questions: Sequence[SceneQuestion],
    details: QuestionDetails,
    predictions: Sequence[Path],
    out: Path,
    clean: bool,
    choice: FieldChoice,
    data_name: str,
) -> dict:
    from perception_tools.answer_files.named_answers import read_named_answers
    from perception_tools.scene_qa.scoring import AnsweringSystem, evaluate_answers

    if not predictions:
        raise InputError("expected files of answers, found none; name at least one")
    numbers = {
        str(question.id) if details.ids is None else details.ids[question.id]: question.id for question in questions
    }
    systems = []
    for path in predictions:
        answers = read_named_answers(path, numbers, choice, clean=clean)
        systems.append(AnsweringSystem(path.stem if len(predictions) == 1 else str(path), answers))
    notes = ["Answers were cleaned (--clean)."] if clean else []
    return evaluate_answers(questions, systems, out, vocabulary=None, data_name=data_name, details=details, notes=notes)
