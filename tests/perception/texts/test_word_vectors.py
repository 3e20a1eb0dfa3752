"""Reading GloVe's text files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.texts.vocabulary import Vocabulary
from perception.texts.word_vectors import read_word_vectors

LINES = ["the 1 2 3", "chair -0.5 1e-2 0", "unk 7 8 9", ". . 4 5 6", "na\x85me 0 0 1"]


@pytest.fixture
def write(tmp_path: Path):
    def write(lines: list[str], end: str = "\n") -> Path:
        path = tmp_path / "glove.txt"
        path.write_bytes((end.join(lines) + end).encode())
        return path

    return write


def test_words_may_hold_spaces_and_odd_line_ends(write) -> None:
    for end in ("\n", "\r\n"):
        vectors = read_word_vectors(write(LINES, end))
        assert list(vectors.vector_of) == ["the", "chair", "unk", ". .", "na\x85me"]
        np.testing.assert_array_equal(vectors.vector_of[". ."], np.array([4, 5, 6], dtype=np.float32))


def test_the_table_has_the_unknown_words_vector_first_and_for_missing_words(write) -> None:
    vectors = read_word_vectors(write(LINES), wanted=["chair", "sofa"])
    assert set(vectors.vector_of) == {"chair", "unk"}
    table = vectors.table(Vocabulary(("sofa", "chair")))
    np.testing.assert_array_equal(table, np.array([[7, 8, 9], [7, 8, 9], [-0.5, 0.01, 0]], dtype=np.float32))


def test_without_a_vector_for_unknown_words_the_mean_is_used(write) -> None:
    vectors = read_word_vectors(write(["a 1 2", "b 3 6"]))
    np.testing.assert_array_equal(vectors.unknown, [2, 4])


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["400000 300", "the 1 2"], "line 1: expected a word and its vector, got '400000 300"),
        (["a 1 2", "b 1"], "line 2: expected a word and 2 numbers as in line 1, got 1 fields after 'b'"),
        (["a 1 2", "b 1 x"], "line 2: expected 2 numbers after the word, got could not convert"),
        (["a 1 2", "b 1 nan"], "line 2: expected finite numbers"),
        (["a 1 2", "b 1 2", "a 3 4"], "line 3: expected every word once, got 'a' again"),
        ([], "line 1: expected a word and its vector"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(write, lines: list[str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read_word_vectors(write(lines))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a GloVe text file, found none"):
        read_word_vectors(tmp_path / "nowhere")
    (tmp_path / "glove.zip").write_bytes(b"PK\x03\x04 \xff\xfe 1 2\n")
    with pytest.raises(InputError, match="expected UTF-8 text"):
        read_word_vectors(tmp_path / "glove.zip")
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="found none"):
        read_word_vectors(tmp_path / "empty")


@pytest.mark.parametrize("lines", [["a 1 2"], ["unk 1 2", "Chair 1 2"]])
def test_vectors_of_none_of_the_wanted_words_are_refused(write, lines: list[str]) -> None:
    with pytest.raises(InputError, match=r"expected vectors of 2 wanted words, such as 'chair', found none of them"):
        read_word_vectors(write(lines), wanted=["chair", "sofa"])
