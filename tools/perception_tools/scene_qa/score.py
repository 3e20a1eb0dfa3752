"""`perception evaluate scene-qa`: of trained models on a store, or of anybody's predictions on SQA3D's files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from perception.errors import InputError

VIEWED_SCENES = 20
"""That a viewer shows: below 10 MB."""


def evaluate_scene_qa(
    out: Path,
    questions: Path | None = None,
    annotations: Path | None = None,
    predictions: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="FILE")] = (),
    baseline: Literal["majority", "majority-per-type"] | None = None,
    answers: Path | None = None,
    checkpoint: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="RUN")] = (),
    data: Path | None = None,
    split: str = "val",
    limit: int | None = None,
    device: str = "cpu",
    data_name: str | None = None,
    viewer: bool = False,
) -> None:
    """Scores answers to questions about scenes: OUT/metrics.json, OUT/answers.jsonl and OUT/report.html.

    Either those of trained models (--checkpoint RUN --data STORE), or anybody's to SQA3D's questions (--questions
    Q.json --annotations A.json with --predictions FILE or --baseline NAME).

    All rates in metrics.json are shares from 0 to 1. The first system's stand at the top, the others' under `others`;
    `paired` holds McNemar's exact test of the first against each of the others. A question without an answer counts as
    wrong and is reported; an answer to a question that was not asked, or two answers to one, is an error.

    Args:
        out: Folder for the files.
        questions: SQA3D's question file, such as v1_balanced_questions_test_scannetv2.json.
        annotations: SQA3D's annotation file of the same split.
        predictions: What a system answered; give the option once for each system. JSON {"id": "answer"} or
            {"id": ["best", "second", ...]}, a JSON list or JSON lines (.jsonl) of objects with question_id and answer
            (or prediction, answer_top10, ...), or CSV (.csv) with the columns question_id and answer (or answer_1,
            answer_2, ...). Objects may also hold position and rotation of the asker, in the annotations' frame.
        baseline: Scores the most frequent answer, of all questions or of each type, as one more system. It is counted
            on the questions themselves: an oracle that no such guess can beat.
        answers: SQA3D's answer_dict.json; found by itself beside the annotations or one folder up.
        checkpoint: Run folder or model file of a trained answerer; give the option once for each. Their answers are
            written to OUT/predictions.json too.
        data: The store of scenes and questions for them; beside --predictions, of scenes for --viewer.
        split: Which questions of the store.
        limit: Only those about the first so many scenes.
        device: Where models run: cpu, cuda.
        data_name: What to call the questions in the report.
        viewer: Write OUT/viewer.html too: the first scenes to turn in a browser, with each question, what the first
            system answered, where it believes the asker to stand and what a model attended to. Needs --data.
    """
    if viewer and (data is None or not (checkpoint or predictions)):
        raise InputError("--viewer: expected --data STORE, which holds the scenes, and --checkpoint or --predictions")
    shown_scenes = VIEWED_SCENES if limit is None else min(limit, VIEWED_SCENES)
    if checkpoint:
        from perception_tools.scene_qa.evaluate import evaluate_answerers

        if data is None or questions or annotations or predictions or baseline or answers:
            raise InputError(
                "expected --data STORE alone beside --checkpoint; to score other systems beside a model, give its "
                "predictions.json to --predictions"
            )
        options = {"split": split, "limit": limit, "data_name": data_name, "device": device}
        evaluate_answerers(checkpoint, data, out, **options)
        if viewer:
            from perception_tools.scene_qa.viewing import view_answerer

            view_answerer(checkpoint[0], data, out / "viewer.html", split=split, scenes=shown_scenes)
        return
    from perception_tools.scene_qa.files import evaluate_files

    if questions is None or annotations is None:
        raise InputError("expected --questions Q.json and --annotations A.json, or --checkpoint RUN and --data STORE")
    evaluate_files(
        questions, annotations, out, predictions=predictions, baseline=baseline, answers=answers, data_name=data_name
    )
    if viewer and data is not None:
        from perception_tools.scene_qa.viewing import view_predictions

        view_predictions(predictions[0], questions, annotations, data, out / "viewer.html", scenes=shown_scenes)
