from __future__ import annotations

from pathlib import Path

import pytest

from perception.texts.answers import AnswerVocabulary
from perception_datasets.errors import RecordError
from perception_datasets.sqa3d.answer_dict import read_answer_dict, write_answer_dict


def test_a_written_dictionary_is_read_back(tmp_path: Path) -> None:
    vocabulary = AnswerVocabulary(("yes", "no", "o'clock", "größer"))
    write_answer_dict(tmp_path / "answer_dict.json", vocabulary)
    assert read_answer_dict(tmp_path / "answer_dict.json") == vocabulary
    assert [path.name for path in tmp_path.iterdir()] == ["answer_dict.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1, 2]",
        '[{"a": 0}]',
        '[{"a": 0, "b": 1}, {"0": "a"}]',
        '[{"a": 0, "b": 0}, {"0": "a", "1": "b"}]',
        '[{"a": 0, "b": 2}, {"0": "a", "2": "b"}]',
        '[{"a": 0, "unknown": 1}, {"0": "a", "1": "unknown"}]',
    ],
)
def test_a_broken_dictionary_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "answer_dict.json").write_text(content)
    with pytest.raises(RecordError, match=r"answer_dict\.json: .*SQA3D"):
        read_answer_dict(tmp_path / "answer_dict.json")


def test_mappings_that_disagree_are_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "answer_dict.json").write_text('[{"a": 0, "b": 1}, {"0": "a"}]')
    with pytest.raises(RecordError, match=r"answer_dict\.json: its two mappings disagree; expected \[\{answer"):
        read_answer_dict(tmp_path / "answer_dict.json")


def test_the_released_dictionary_has_706_answers(real_data: Path) -> None:
    vocabulary = read_answer_dict(real_data / "sqa3d" / "answer_dict.json")
    assert len(vocabulary) == 707
    assert (vocabulary.class_of("urinal"), vocabulary.class_of("walk forward")) == (0, 705)
