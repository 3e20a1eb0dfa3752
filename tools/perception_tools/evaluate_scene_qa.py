"""`perception evaluate scene-qa --predictions FILE --questions Q.json --annotations A.json --out DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro


def evaluate_scene_qa(
    questions: Path,
    annotations: Path,
    out: Path,
    predictions: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="FILE")] = (),
    baseline: Literal["majority", "majority-per-type"] | None = None,
    answers: Path | None = None,
    data_name: str | None = None,
) -> None:
    """Scores anybody's answers to SQA3D's questions: OUT/metrics.json, OUT/answers.jsonl and OUT/report.html.

    All rates in metrics.json are shares from 0 to 1. The first system's stand at the top, the others' under `others`;
    `paired` holds McNemar's exact test of the first against each of the others. A question without an answer counts as
    wrong and is reported; an answer to a question that was not asked, or two answers to one, is an error.

    Args:
        questions: SQA3D's question file, such as v1_balanced_questions_test_scannetv2.json.
        annotations: SQA3D's annotation file of the same split.
        out: Folder for the three files.
        predictions: What a system answered; give the option once for each system. JSON {"id": "answer"} or
            {"id": ["best", "second", ...]}, a JSON list or JSON lines (.jsonl) of objects with question_id and answer
            (or prediction, answer_top10, ...), or CSV (.csv) with the columns question_id and answer (or answer_1,
            answer_2, ...). Objects may also hold position and rotation of the asker, in the annotations' frame.
        baseline: Scores the most frequent answer, of all questions or of each type, as one more system. It is counted
            on the questions themselves: an oracle that no such guess can beat.
        answers: SQA3D's answer_dict.json; found by itself beside the annotations or one folder up.
        data_name: What to call the questions in the report.
    """
    from perception_tools.scene_qa_files import evaluate_files

    evaluate_files(
        questions, annotations, out, predictions=predictions, baseline=baseline, answers=answers, data_name=data_name
    )
