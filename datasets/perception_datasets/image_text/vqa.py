"""Reader of VQAv2's files: open questions about COCO's pictures with ten answers each.

Goyal et al. (https://arxiv.org/abs/1612.00837); files from https://visualqa.org/download.html, also compressed by gzip.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from perception.errors import first_of
from perception_datasets.errors import bad_file, reading

CURE = "use the files of https://visualqa.org/download.html"
MAX_BYTES = 4 << 30
"""Limit for a file's content, uncompressed; the largest of VQAv2 has 0.4 GB."""


@dataclass(frozen=True)
class VqaQuestion:
    """A question as the files state it.

    Attributes:
        id: `question_id`.
        image_id: COCO's number of the picture.
        image_file: Name of the picture's file by COCO's rule, without its folder.
        question: Text of the question.
        answers: What the annotators said, as they said it; empty where no annotations were read.
        frequent_answer: `multiple_choice_answer`, the most frequent one.
        answer_type: `yes/no`, `number` or `other`.
        question_type: How the question begins, by VQA's list of 65.
    """

    id: int
    image_id: int
    image_file: str
    question: str
    answers: tuple[str, ...] = ()
    frequent_answer: str = ""
    answer_type: str = ""
    question_type: str = ""


def question_files(folder: Path, split: str, *, annotated: bool = True) -> tuple[Path, Path | None]:
    """Returns the question file and the annotation file of a split.

    A split is named by a part of the files' names: `val` for `v2_OpenEnded_mscoco_val2014_questions.json`.

    Args:
        folder: Folder of both.
        split: Name of the split.
        annotated: Whether annotations must be there.

    Raises:
        RecordError: There are none, or several.
    """
    pattern = re.compile(rf"(^|[_.-]){re.escape(split)}(20\d\d)?[_.-]")

    def find(kind: str) -> list[Path]:
        return sorted(
            p for p in folder.glob(f"*{kind}.json*") if p.suffix in (".json", ".gz") and pattern.search(p.name)
        )

    questions, annotations = find("questions"), find("annotations")
    if len(questions) != 1 or len(annotations) > 1 or (annotated and not annotations):
        others = first_of(path.name for path in sorted(folder.glob("*questions.json*")))
        reason = (
            f"expected one file *_{split}…_questions.json(.gz) and one of annotations, found {len(questions)} and "
            f"{len(annotations)} (question files there: {others or 'none'})"
        )
        raise bad_file(folder, reason, "name a split that is there")
    return questions[0], annotations[0] if annotations else None


def split_files(folder: Path, split: str) -> tuple[Path, Path]:
    """Returns where we write the questions and annotations of a split, by names that `question_files` finds."""
    return folder / f"v2_OpenEnded_{split}_questions.json", folder / f"v2_{split}_annotations.json"


def read_questions(questions: Path, annotations: Path | None = None) -> list[VqaQuestion]:
    """Reads all questions of a file in order, joined to their annotations by question id.

    Raises:
        RecordError: A file is broken, an id occurs twice, or a question has no annotation.
    """
    with reading(questions, CURE):
        content = _load(questions)
        subset = _text(content, "data_subtype", "")
        plain = [_question(item, subset) for item in _items(questions, content, "questions")]
    if not plain:
        raise bad_file(questions, "expected questions, found none", CURE)
    _check_unique(questions, [question.id for question in plain])
    return plain if annotations is None else _annotate(plain, annotations)


def write_vqa(
    questions: Path, annotations: Path, records: Sequence[VqaQuestion], *, data_type: str, data_subtype: str
) -> None:
    """Writes questions and annotations in VQAv2's format."""
    from perception.files import whole_file

    head = {"info": {}, "data_type": data_type, "data_subtype": data_subtype, "license": {}}
    asked = [{"image_id": of.image_id, "question": of.question, "question_id": of.id} for of in records]
    said = [
        {
            "question_id": of.id,
            "image_id": of.image_id,
            "question_type": of.question_type,
            "answer_type": of.answer_type,
            "multiple_choice_answer": of.frequent_answer,
            "answers": [
                {"answer": answer, "answer_confidence": "yes", "answer_id": number}
                for number, answer in enumerate(of.answers, start=1)
            ],
        }
        for of in records
    ]
    for path, content in (
        (questions, head | {"task_type": "Open-Ended", "questions": asked}),
        (annotations, head | {"annotations": said}),
    ):
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(content), "utf-8")


def picture_file(image_id: int, subset: str) -> str:
    """Returns COCO's name of a picture: `COCO_val2014_000000262148.jpg`; without a subset, the number alone."""
    return f"COCO_{subset}_{image_id:012d}.jpg" if subset else f"{image_id:012d}.jpg"


def _load(path: Path) -> Any:
    data = path.open("rb")
    with data as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = gzip.GzipFile(fileobj=raw) if is_gzip else raw
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise bad_file(path, f"expected at most {MAX_BYTES >> 30} GiB, found more", CURE)
    return json.loads(content)


def _annotate(plain: Sequence[VqaQuestion], annotations: Path) -> list[VqaQuestion]:
    with reading(annotations, CURE):
        items = _items(annotations, _load(annotations), "annotations")
        ids = [_number(item, "question_id") for item in items]
        _check_unique(annotations, ids)
        item_of = dict(zip(ids, items, strict=True))
        missing = [question.id for question in plain if question.id not in item_of]
        if missing:
            reason = f"it has no annotation of {len(missing):,} of {len(plain):,} questions: {first_of(missing)}"
            raise bad_file(annotations, reason, "give the annotations of the same split as the questions")
        return [_annotated(question, item_of[question.id]) for question in plain]


def _annotated(question: VqaQuestion, item: Mapping[str, Any]) -> VqaQuestion:
    if _number(item, "image_id") != question.image_id:
        raise ValueError(f"question {question.id}: expected picture {question.image_id}, found {item['image_id']}")
    answers = tuple(_text(answer, "answer") for answer in item["answers"])
    if not answers:
        raise ValueError(f"question {question.id}: expected answers, found none")
    return replace(
        question,
        answers=answers,
        frequent_answer=_text(item, "multiple_choice_answer"),
        answer_type=_text(item, "answer_type"),
        question_type=_text(item, "question_type"),
    )


def _items(path: Path, content: Any, key: str) -> list[dict]:
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise bad_file(path, f'expected {{"{key}": [...]}} at the top level', CURE)
    return content[key]


def _question(item: Mapping[str, Any], subset: str) -> VqaQuestion:
    image_id = _number(item, "image_id")
    # Test pictures of 2015 are one set, of which test-dev is a part.
    file = picture_file(image_id, "test2015" if subset.startswith("test") else subset)
    return VqaQuestion(_number(item, "question_id"), image_id, file, _text(item, "question"))


def _number(item: Mapping[str, Any], key: str) -> int:
    value = item[key]
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"expected a whole number as {key}, found {value!r}")
    return int(value)


def _text(item: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = item[key] if default is None else item.get(key, default)
    if not isinstance(value, str):
        raise TypeError(f"expected a text as {key}, found {value!r}")
    return value


def _check_unique(path: Path, ids: Sequence[int]) -> None:
    if len(set(ids)) < len(ids):
        seen: set[int] = set()
        twice = next(i for i in ids if i in seen or seen.add(i))
        raise bad_file(path, f"expected each question_id once, found {twice} twice", CURE)
