"""Scores the answers of any model to SQA3D's questions: write one JSON file, get rates, intervals and a report.

    python tools/examples/score_predictions.py SQA3D --out report

Put your model in the place of `guess`. If it writes its answers itself, this command scores the file:

    perception score sqa3d predictions.json --questions QUESTIONS.json --annotations ANNOTATIONS.json --out report
"""

from __future__ import annotations

import json
from pathlib import Path

import tyro

from perception_datasets.sqa3d.questions import Sqa3dQuestion, question_files, read_questions
from perception_tools.scene_qa.files import evaluate_files

GUESSES = {"how": ["two", "one"], "is": ["yes", "no"], "can": ["yes", "no"], "are": ["no", "yes"]}
"""First word of a question → the answers to try, best first."""


def guess(question: Sqa3dQuestion) -> list[str]:
    """Ranked answers to a question; this model reads only its first word."""
    first_word = question.question.split()[0].lower()
    return GUESSES.get(first_word, ["chair", "table"])


def main(sqa3d: tyro.conf.Positional[Path], out: Path, split: str = "val") -> dict:
    """Writes OUT/predictions.json and scores it: OUT/metrics.json, OUT/answers.jsonl and OUT/report.html.

    Args:
        sqa3d: Folder of SQA3D's release.
        out: Folder for the files.
        split: Split whose questions are asked.
    """
    questions, annotations = question_files(sqa3d, split)
    out.mkdir(parents=True, exist_ok=True)
    predictions = out / "predictions.json"
    answers = {str(question.id): guess(question) for question in read_questions(questions)}
    predictions.write_text(json.dumps(answers), encoding="utf-8")
    return evaluate_files(questions, annotations, out, predictions=[predictions], baseline="majority-per-type")


if __name__ == "__main__":
    tyro.cli(main)
