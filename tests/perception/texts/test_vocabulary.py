"""Words of texts and their numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.texts.vocabulary import MAX_WORDS, UNKNOWN, Vocabulary, split_words


def test_plain_words_are_lower_case_without_punctuation() -> None:
    text = "What's on my left, the chair or 2 beds?"
    assert split_words(text) == ["what's", "on", "my", "left", ",", "the", "chair", "or", "2", "beds", "?"]


def test_sqa3ds_words_keep_case_and_commas() -> None:
    text = "What's on my left, the chair. Or\n2 beds?"
    assert split_words(text, "sqa3d") == ["What's", "on", "my", "left,", "the", "chair", ".", "Or", "2", "beds", "?"]


def test_words_are_numbered_by_frequency() -> None:
    vocabulary = Vocabulary.of_texts(["the red chair", "The chair", "the bed"])
    assert vocabulary.words == ("the", "chair", "bed", "red")
    assert len(vocabulary) == 5
    batch = vocabulary.encode(["a chair", "", "THE red bed"])
    assert batch.ids.tolist() == [[UNKNOWN, 2, 0], [UNKNOWN, 0, 0], [1, 4, 3]]
    assert batch.valid.tolist() == [[True, True, False], [True, False, False], [True, True, True]]


def test_unknown_words_are_named_in_their_order() -> None:
    vocabulary = Vocabulary(("is", "this", "a", "?"))
    assert vocabulary.unknown_words("Is this a Sofa zebra?") == ["sofa", "zebra"]


def test_a_long_text_is_cut_off_after_the_maximum() -> None:
    vocabulary = Vocabulary(("a", "b"))
    batch = vocabulary.encode(["a " * MAX_WORDS + "b"])
    assert batch.ids.tolist() == [[1] * MAX_WORDS]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=400), max_size=4), st.sampled_from(["plain", "sqa3d"]))
def test_any_text_has_between_one_word_and_the_maximum(texts: list[str], rule) -> None:
    vocabulary = Vocabulary.of_texts(texts, rule)
    batch = vocabulary.encode(texts)
    assert len(batch.ids) == len(texts)
    for ids, valid, text in zip(batch.ids, batch.valid, texts, strict=True):
        words = split_words(text, rule)
        assert valid.sum() == min(max(len(words), 1), MAX_WORDS)
        assert [vocabulary.words[i - 1] for i in ids[valid].tolist() if i] == words[:MAX_WORDS]
        assert not ids[~valid].any()


def test_a_repeated_word_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got \['a'\] more often"):
        Vocabulary(("a", "b", "a"))
