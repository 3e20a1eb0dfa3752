"""SQA3D's answer vocabulary, `answer_dict.json`: [{answer: class}, {class: answer}]."""

from __future__ import annotations

import json
from pathlib import Path

from perception.files import whole_file
from perception.texts.answers import AnswerVocabulary
from perception_datasets.errors import bad_file, reading

FILE_NAME = "answer_dict.json"
CURE = "expected [{answer: class}, {class: answer}] with classes 0, 1, 2 …, as in SQA3D's answer_dict.json"


def read_answer_dict(path: Path) -> AnswerVocabulary:
    """Reads the vocabulary.

    Raises:
        RecordError: The file is broken, a class is missing or used twice, or the two mappings disagree.
    """
    with reading(path, CURE):
        classes, answers = json.loads(path.read_text(encoding="utf-8"))
        ordered = tuple(str(answers[str(index)]) for index in range(len(answers)))
        if classes != {answer: index for index, answer in enumerate(ordered)}:
            raise bad_file(path, "its two mappings disagree", CURE)
        return AnswerVocabulary(ordered)


def write_answer_dict(path: Path, vocabulary: AnswerVocabulary) -> None:
    """Writes both mappings."""
    classes = {answer: index for index, answer in enumerate(vocabulary.answers)}
    with whole_file(path) as file:
        file.write_text(json.dumps([classes, {str(index): answer for answer, index in classes.items()}]), "utf-8")
