from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception_datasets.errors import RecordError
from perception_datasets.sqa3d.json_lists import check_unique, read_objects, text_list


@pytest.mark.parametrize(
    ("content", "found"),
    [({"a": 1}, "dict of length 1"), ([], "list of length 0"), (3, "int of length 0"), ([{}, 4], "int at 1")],
)
def test_a_file_that_is_no_list_of_objects_is_refused(tmp_path: Path, content: object, found: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=found):
        read_objects(path)


def test_texts_and_numbers_are_texts_and_anything_else_is_refused() -> None:
    assert text_list(["chair", 2]) == ("chair", "2")
    for value in ("chair", [["chair"]], None):
        with pytest.raises(ValueError, match="expected a list of answers"):
            text_list(value)


def test_an_id_that_occurs_twice_is_named() -> None:
    check_unique(Path("a.json"), ["1", "2"], "mend it")
    with pytest.raises(RecordError, match=r"a\.json: expected each question once, found 1 twice; mend it"):
        check_unique(Path("a.json"), ["1", "2", "1"], "mend it")
