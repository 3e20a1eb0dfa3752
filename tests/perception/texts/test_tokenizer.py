"""Tokenizers in RoBERTa's layout: their numbers, padding, cutting, and the way into a model file and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception.texts.tokenizer import END, PAD, START, UNKNOWN, HubTokenizer, WordTokenizer, tokenizer_from_json

TEXTS = ["is it red ?", "red", "", "is it a zebra ?"]


def test_words_are_numbered_after_the_special_tokens_and_padded_with_pad() -> None:
    tokenizer = WordTokenizer.of_texts(["Is it red?", "it"])
    batch = tokenizer.encode(TEXTS, 8)
    assert tokenizer.vocabulary.words == ("it", "?", "is", "red")
    assert len(tokenizer) == 8
    assert batch.ids.tolist() == [
        [START, 6, 4, 7, 5, END, PAD],
        [START, 7, END, PAD, PAD, PAD, PAD],
        [START, END, PAD, PAD, PAD, PAD, PAD],
        [START, 6, 4, UNKNOWN, UNKNOWN, 5, END],
    ]
    assert (batch.ids != PAD).equal(batch.valid)


def test_long_texts_are_cut_and_keep_their_end() -> None:
    batch = WordTokenizer(["red"]).encode(["red " * 20], 5)
    assert batch.ids.tolist() == [[START, 4, 4, 4, END]]


def test_a_hub_tokenizer_gives_the_numbers_of_transformers(bpe_folder: Path) -> None:
    folder = bpe_folder
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = HubTokenizer.from_folder(folder)
    assert len(ours) == len(theirs)
    for longest in (5, 12):
        expected = theirs(TEXTS, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        found = ours.encode(TEXTS, longest)
        assert found.ids.equal(expected["input_ids"])
        assert found.valid.equal(expected["attention_mask"].bool())


def test_tokenizers_survive_the_way_through_json(bpe_folder: Path) -> None:
    for tokenizer in (WordTokenizer(["red", "it"]), HubTokenizer.from_folder(bpe_folder)):
        again = tokenizer_from_json(json.loads(json.dumps(tokenizer.to_json())))
        assert again.encode(TEXTS, 9).ids.equal(tokenizer.encode(TEXTS, 9).ids)


def test_what_is_no_tokenizer_is_refused(bpe_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match="expected words or a definition"):
        tokenizer_from_json({"kind": "runes"})
    with pytest.raises(InputError, match=r"expected the content of a tokenizer\.json"):
        HubTokenizer("{}")
    with pytest.raises(InputError, match="expected a tokenizer of RoBERTa's family"):
        HubTokenizer.from_folder(tmp_path)
    definition = json.loads(HubTokenizer.from_folder(bpe_folder).to_json()["definition"])
    vocabulary = definition["model"]["vocab"]
    vocabulary["<s>"], vocabulary["a"] = vocabulary["a"], vocabulary["<s>"]
    definition["added_tokens"] = []
    with pytest.raises(InputError, match="expected RoBERTa's <s>, <pad>, </s>"):
        HubTokenizer(json.dumps(definition))
