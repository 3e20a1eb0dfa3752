"""`perception score sqa3d FILE …`: anybody's answers to SQA3D's questions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from perception.errors import InputError


def score_sqa3d(
    predictions: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE...")],
    questions: Path,
    annotations: Path,
    out: Path,
    baseline: Literal["majority", "majority-per-type"] | None = None,
    answers: Path | None = None,
    data_name: str | None = None,
    viewer: Path | None = None,
    answer_field: str | None = None,
    id_field: str | None = None,
    places: bool = False,
    only: str | None = None,
    blind: tuple[Path, ...] = (),
    clean: bool = False,
) -> dict:
    """Scores answers to SQA3D's questions: OUT/metrics.json, records.parquet, answers.jsonl and report.html.

    All rates in metrics.json are shares from 0 to 1. The first system's stand at the top, the others' under `others`;
    `paired` compares the first with each of the others by every score: McNemar's exact test, and the difference with
    its interval over scenes. records.parquet has a row for every question and system. A question without an answer
    counts as wrong and is reported; an answer to a question that was not asked, or two answers to one, is an error.

    Args:
        predictions: What each system answered; the content tells the format, whatever the file's name.
            {"question id": "answer"} or {"question id": ["best", "second", ...]} in JSON.
            A JSON list, or JSON lines, of objects with question_id and prediction (or answer, answer_top10, ...).
            A table (CSV or TSV) with the columns question_id and answer (or answer_1, answer_2, ...).
            The results that LLaVA-3D, Video-3D-LLM, Chat-Scene, LEO and MSR3D (results.pt), SQA3D's script for language
            models, lmms-eval and ScanQA write; 3D-LLM's with --places.
            Also compressed with gzip, and in UTF-16. Records may also hold position and rotation of the asker, in the
            annotations' frame. Where it is not clear which field was predicted, the file is refused.
        questions: SQA3D's question file, such as v1_balanced_questions_test_scannetv2.json.
        annotations: SQA3D's annotation file of the same split.
        out: Folder for the files.
        baseline: Scores the most frequent answer, of all questions or of each type, as one more system. It is counted
            on the questions themselves: an oracle that no such guess can beat.
        answers: SQA3D's answer_dict.json; by default it is looked for beside the annotations and one folder up.
        data_name: What to call the questions in the report.
        viewer: Store of scenes. With it OUT/viewer.html is written too: the first scenes to turn in a browser, with
            each question, what the first system answered and where it believes the asker to stand.
        answer_field: Name of the field with the answer, in all files; dots reach into objects, as in "result.text".
        id_field: Name of the field with SQA3D's question_id, in all files.
        places: Takes ids as places in the question file, from 0. Records without an id are in the order of that file.
        only: Scores these questions alone: a file with their ids, or the ids separated by commas.
        blind: Answers of systems that saw no scene. They are scored too, and all systems a second time on the questions
            that no blind one answers.
        clean: Removes what language models write around an answer, such as "Answer:", end tokens and explanations.
    """
    from perception_tools.answer_files.formats import FieldChoice
    from perception_tools.output_places import keep_apart
    from perception_tools.records_file import RECORDS_FILE
    from perception_tools.scene_qa.files import evaluate_files

    if viewer is not None and not predictions:
        raise InputError(f"--viewer {viewer}: expected a file of predictions to show, got none; name one")
    choice = FieldChoice(answer_field, id_field, places)
    names = ("metrics.json", RECORDS_FILE, "answers.jsonl", "report.html", "viewer.html")
    read = (*predictions, questions, annotations, answers, viewer)
    keep_apart([out / name for name in names], [path for path in read if path is not None])
    metrics = evaluate_files(
        questions,
        annotations,
        out,
        predictions=predictions,
        baseline=baseline,
        answers=answers,
        data_name=data_name,
        choice=choice,
        only=only,
        blind=blind,
        clean=clean,
    )
    if viewer is not None:
        from perception_tools.scene_qa.viewing import VIEWED_SCENES, view_predictions

        view_predictions(
            predictions[0],
            questions,
            annotations,
            viewer,
            out / "viewer.html",
            scenes=VIEWED_SCENES,
            choice=choice,
            only=only,
            clean=clean,
        )
    return metrics


def evaluate_scene_qa(words: list[str]) -> dict:
    """The former name of two commands: `evaluate RUN…` and `score sqa3d FILE…`."""
    from perception_tools.main import parse
    from perception_tools.scene_qa.evaluate import evaluate_answerers

    named: list[str] = []
    options: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in ("--checkpoint", "--predictions"):
            named.append(next(rest, ""))
        else:
            options.append(word)
    now, function = ("evaluate", evaluate_answerers) if "--checkpoint" in words else ("score sqa3d", score_sqa3d)
    print(f"perception evaluate scene-qa is now: perception {' '.join([now, *named, *options])}", file=sys.stderr)
    return parse(now, function, [*named, *options])
