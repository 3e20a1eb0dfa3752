from __future__ import annotations

import pytest

from perception.errors import InputError
from perception.texts.answers import UNKNOWN, AnswerVocabulary, frequent_answers


def test_class_of_and_answer_of_are_inverses() -> None:
    vocabulary = AnswerVocabulary(("yes", "no", "TV"))
    assert len(vocabulary) == 4
    assert [vocabulary.class_of(vocabulary.answer_of(index)) for index in range(4)] == [0, 1, 2, 3]
    assert vocabulary.answer_of(3) == UNKNOWN


def test_an_answer_outside_the_vocabulary_has_the_last_class() -> None:
    vocabulary = AnswerVocabulary(("yes", "no"))
    assert vocabulary.class_of("perhaps") == vocabulary.class_of("Yes") == 2
    assert "perhaps" not in vocabulary
    assert "yes" in vocabulary
    assert UNKNOWN not in vocabulary


@pytest.mark.parametrize(("answers", "message"), [(("a", "b", "a"), "'a' twice"), (("a", UNKNOWN), "got 'unknown'")])
def test_an_ambiguous_vocabulary_is_refused(answers: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AnswerVocabulary(answers)


def test_a_class_beyond_the_last_is_an_error() -> None:
    with pytest.raises(IndexError):
        AnswerVocabulary(("yes",)).answer_of(2)


def test_answers_given_once_are_left_out_and_frequent_ones_come_first() -> None:
    answers = ["d", "b", "a", "c", "b", "b", "a", "d"]
    assert frequent_answers(answers) == ("b", "a", "d"), "equally frequent ones in alphabetical order"
    assert frequent_answers(answers, at_least=3) == ("b",)
