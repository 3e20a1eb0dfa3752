"""Bytes of all kinds become the same records, and what cannot is refused by name."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception_tools.answer_files import content
from perception_tools.answer_files.content import read_content, read_text

ROWS = [{"question_id": 7, "answer": "yes"}, {"question_id": 8, "answer": "a, b\nc"}]
LINES = "\n".join(json.dumps(row) for row in ROWS)
TABLE = 'question_id,answer\n7,yes\n8,"a, b\nc"\n'


def written(folder: Path, data: str | bytes, name: str = "answers.txt") -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def saved(value: object) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(ROWS),
        json.dumps({"args": {"model": "m"}, "logs": ROWS}),
        json.dumps({"7": "yes", "8": "a, b\nc"}),
        json.dumps({"7": {"answer": "yes"}, "8": {"question_id": 8, "answer": "a, b\nc"}}),
        LINES,
        f"\n\n{LINES}\n\n",
        "".join(json.dumps(row, indent=2) for row in ROWS),
        gzip.compress(LINES.encode(), mtime=0),
        LINES.encode("utf-8-sig"),
        json.dumps(ROWS).encode("utf-16"),
        LINES.encode("utf-16-le"),
        gzip.compress(TABLE.encode("utf-16"), mtime=0),
        TABLE,
        TABLE.replace("\n", "\r\n").replace("b\r\n", "b\n"),
        'answer\tquestion_id\nyes\t7\n"a, b\nc"\t8\n',
        'question_id;answer\n\n7;yes\n8;"a, b\nc"\n',
        saved(ROWS),
        saved([{"question_id": torch.tensor(row["question_id"]), "answer": row["answer"]} for row in ROWS]),
    ],
)
def test_records_are_read_whatever_the_file_is_called(tmp_path: Path, data: str | bytes) -> None:
    records = read_content(written(tmp_path, data)).records
    found = [{**record.fields, "question_id": int(record.fields["question_id"])} for record in records]
    assert found == ROWS


def test_records_know_their_places(tmp_path: Path) -> None:
    def places(data: str) -> list[str]:
        path = written(tmp_path, data)
        return [record.where.removeprefix(str(path)) for record in read_content(path).records]

    assert places(f"\n{LINES}\n\n{LINES}") == [", line 2", ", line 3", ", line 5", ", line 6"]
    assert places(json.dumps(ROWS)) == [", item 0", ", item 1"]
    assert places('{"7": "yes"}') == [", question 7"]
    assert places("question_id,answer\n\n7,yes\n") == [", line 3"]


def test_a_single_object_is_one_record_and_a_list_of_texts_is_one_a_text(tmp_path: Path) -> None:
    assert [r.fields for r in read_content(written(tmp_path, json.dumps(ROWS[0]))).records] == ROWS[:1]
    assert [r.fields for r in read_content(written(tmp_path, '["yes", 2]')).records] == [
        {"answer": "yes"},
        {"answer": 2},
    ]
    assert read_content(written(tmp_path, "[]")).records == []
    assert read_content(written(tmp_path, "{}")).records == []


def test_ranked_columns_are_one_field_and_empty_cells_are_no_values(tmp_path: Path) -> None:
    records = read_content(written(tmp_path, "id,answer_1,note,answer_2\n7,yes,,no\n8,,x,\n")).records
    assert [r.fields for r in records] == [
        {"id": "7", "note": None, "answers": ["yes", "no"]},
        {"id": "8", "note": "x", "answers": []},
    ]


def test_equal_values_under_one_key_are_counted_and_different_ones_refused(tmp_path: Path) -> None:
    found = read_content(written(tmp_path, '[{"question_id": 7, "answer": "yes", "answer": "yes"}]'))
    assert (len(found.records), found.repeated_keys) == (1, 1)
    with pytest.raises(InputError, match=r"answers.txt: expected each key once.*found '7' with 'yes' and with 'no'"):
        read_content(written(tmp_path, '{"7": "yes", "8": "x", "7": "no"}'))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "found an empty file"),
        ("  \n", "found an empty file"),
        ("[", r"line 1: expected JSON"),
        (LINES + '\n{"question_id": 9, "ans', r"line 3: expected JSON.*remove the line if a run was interrupted"),
        ("[" * 100_000, "cannot be parsed"),
        ('{"7": {"question_id": 8, "answer": "yes"}}', r"key '7': expected the answer to that question, found .* 8"),
        ("question_id,answer\n7,yes,no\n", r"line 2: expected 2 cells, found 3"),
        ("question_id,answer\n7\n", r"line 2: expected 2 cells, found 1"),
        ('question_id,answer\n7,"yes\n', "cannot be parsed"),
        ("answer,answer\nyes,no\n", "expected each column once"),
        ("Größe".encode("latin-1"), "UTF-8"),
        (pickle.dumps(ROWS), "found a pickle, which runs code"),
        (saved([Path("x")]), "found other objects; save those alone"),
        (saved(7), "expected a list or an object, found int"),
        (gzip.compress(b"x" * 100, mtime=0)[:-9], "cannot be parsed"),
    ],
)
def test_a_broken_file_is_refused_with_its_name(tmp_path: Path, data: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_content(written(tmp_path, data))
    assert str(tmp_path / "answers.txt") in str(caught.value)


def test_a_missing_file_a_folder_and_another_archive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_content(tmp_path / "absent.json")
    with pytest.raises(InputError, match="directory"):
        read_content(tmp_path)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("answers.json", LINES)
    with pytest.raises(InputError, match="found a zip archive; unpack it"):
        read_content(written(tmp_path, file.getvalue()))


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress, lambda data: saved([data.decode()])])
def test_a_file_that_is_too_large_is_refused_before_it_is_parsed(tmp_path: Path, monkeypatch, pack) -> None:
    monkeypatch.setattr(content, "MAX_BYTES", 1 << 20)
    with pytest.raises(InputError, match="expected at most 1 MiB"):
        read_content(written(tmp_path, pack(b" " * (2 << 20))))


def test_a_text_is_read_in_any_encoding(tmp_path: Path) -> None:
    for data in ("7\n8\n".encode("utf-16"), gzip.compress(b"7\n8\n"), b"7\n8\n"):
        assert read_text(written(tmp_path, data)) == "7\n8\n"
