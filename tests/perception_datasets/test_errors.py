import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_datasets.errors import RecordError, bad_file, reading

FILE = Path("some/file.json")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError("x"), "no such file"),
        (KeyError("name"), "it lacks 'name'"),
        (
            json.JSONDecodeError("Expecting value", "", 0),
            "it cannot be parsed (Expecting value: line 1 column 1 (char 0))",
        ),
        (OSError("disk\nsecond line"), "it cannot be parsed (disk)"),
        (TypeError(), "it cannot be parsed (TypeError)"),
    ],
)
def test_errors_of_parsers_become_one_sentence_with_file_reason_and_cure(error: Exception, reason: str) -> None:
    with pytest.raises(RecordError) as raised, reading(FILE, "download it again"):
        raise error
    assert str(raised.value) == f"some/file.json: {reason}; download it again"
    assert isinstance(raised.value, InputError)


def test_a_record_error_passes_unchanged() -> None:
    with pytest.raises(RecordError, match="other: why; cure"), reading(FILE, "download it again"):
        raise bad_file(Path("other"), "why", "cure")
