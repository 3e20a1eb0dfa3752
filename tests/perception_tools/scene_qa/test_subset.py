"""A part of the questions is named by ids, as words or in a file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_datasets.sqa3d.questions import Sqa3dQuestion
from perception_tools.scene_qa.subset import select_questions, subset_note

ASKED = [Sqa3dQuestion(number, "s", "I sit.", (), "Is it?", ("yes",)) for number in (220, 221, 222)]


def selected(only: str | None) -> list[int]:
    return [question.id for question in select_questions(ASKED, only)]


def test_all_questions_are_scored_unless_some_are_named() -> None:
    assert selected(None) == [220, 221, 222]


@pytest.mark.parametrize("data", [b"222\n220\n", b"[222, 220]", b'["220",\n"222"]', "222, 220".encode("utf-16")])
def test_ids_are_read_from_a_file_or_from_the_words(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "ids"
    for content in (data, gzip.compress(data)):
        path.write_bytes(content)
        assert selected(str(path)) == [220, 222]
    assert selected("222,220, 222") == [220, 222]


def test_a_file_may_be_called_by_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("221").write_text("222\n")
    assert selected("221") == [222]


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("7,220,8", r"--only '7,220,8': expected ids of the 3 questions, found 2 unknown \(7, 8\)"),
        ("absent.txt", r"absent.txt: no such file"),
        (",", "expected ids of questions, one a line or separated by commas, found none"),
    ],
)
def test_ids_that_were_not_asked_are_refused(only: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        selected(only)


def test_a_file_of_other_words_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("question_id\n220\n")
    with pytest.raises(InputError, match="found 'question_id'; write whole numbers alone"):
        selected(str(tmp_path / "ids"))


def test_a_note_says_how_many_are_left() -> None:
    note = subset_note(1000, 3519, "ids.txt")
    assert note == "Scored on 1,000 of the 3,519 questions (--only ids.txt): not comparable with scores on others."
    assert subset_note(3519, 3519, "ids.txt") is None
