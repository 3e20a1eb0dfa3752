"""Texts as the numbers that a text transformer reads, in RoBERTa's layout: `<s>` words `</s>`, then `<pad>`.

RoBERTa counts positions from the number of `<pad>` on, so padding with anything else shifts them. METER pads with `<s>`
and relies on the attention mask alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from perception.errors import InputError
from perception.hub import load_pretrained
from perception.texts.vocabulary import TextBatch, Vocabulary, split_words

START, PAD, END, UNKNOWN = range(4)
"""RoBERTa's numbers of `<s>`, `<pad>`, `</s>` and `<unk>`."""


@runtime_checkable  # for the type checks of the test run
class Tokenizer(Protocol):
    """What a text transformer needs of its tokenizer."""

    def __len__(self) -> int:
        """Number of tokens."""
        ...

    def encode(self, texts: Sequence[str], longest: int) -> TextBatch:
        """Numbers of each text's first tokens, at most `longest` with `<s>` and `</s>`, padded with `<pad>`."""
        ...

    def to_json(self) -> dict:
        """Plain values from which `tokenizer_from_json` makes the same tokenizer."""
        ...


class WordTokenizer:
    """One token for each known word; a model that is trained from scratch on few texts needs no parts of words.

    Args:
        words: Known words without repetition.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(tuple(words))

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> WordTokenizer:
        """Knows all words of some texts, by frequency, then alphabetically."""
        return cls(Vocabulary.of_texts(texts).words)

    def __len__(self) -> int:
        return UNKNOWN + 1 + len(self.vocabulary.words)

    def encode(self, texts: Sequence[str], longest: int) -> TextBatch:
        """Numbers words; see `Tokenizer.encode`."""
        rows = [[self._number_of.get(word, UNKNOWN) for word in split_words(text)] for text in texts]
        return pad_rows([[START, *row[: longest - 2], END] for row in rows])

    def to_json(self) -> dict:
        """The words."""
        return {"kind": "words", "words": list(self.vocabulary.words)}

    @cached_property
    def _number_of(self) -> Mapping[str, int]:
        return {word: number for number, word in enumerate(self.vocabulary.words, start=UNKNOWN + 1)}


class HubTokenizer:
    """A tokenizer of the hub, such as RoBERTa's BPE.

    Args:
        definition: Content of `tokenizer.json`.

    Raises:
        InputError: It is no such definition, or has not RoBERTa's `<s>`, `<pad>` and `</s>`.
    """

    def __init__(self, definition: str) -> None:
        try:
            from tokenizers import Tokenizer as Backend
        except ImportError as error:
            raise InputError(
                "tokenizers: expected it to be installed; pip install 'frozen-perception[text]'"
            ) from error
        try:
            self._backend = Backend.from_str(definition)
        except Exception as error:  # the library raises nothing narrower
            raise InputError(f"tokenizer: expected the content of a tokenizer.json, got {error}") from error
        found = tuple(self._backend.token_to_id(token) for token in ("<s>", "<pad>", "</s>"))
        if found != (START, PAD, END):
            raise InputError(
                f"tokenizer: expected RoBERTa's <s>, <pad>, </s> as {START}, {PAD}, {END}, got {found}; give a text "
                "tower of RoBERTa's family"
            )

    @classmethod
    def from_folder(cls, folder: str | Path) -> HubTokenizer:
        """The tokenizer in a folder of the hub's layout, or of a model on huggingface.co.

        Raises:
            InputError: There is none.
        """
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise InputError(
                "transformers: expected it to be installed; pip install 'frozen-perception[text]'"
            ) from error
        what = "a tokenizer of RoBERTa's family"
        loaded = load_pretrained(AutoTokenizer, folder, what)
        try:
            return cls(loaded.backend_tokenizer.to_str())
        except InputError as error:
            raise InputError(f"{folder}: {error}") from error
        except AttributeError as error:
            raise InputError(f"{folder}: expected {what}, got: {error}") from error

    def __len__(self) -> int:
        return self._backend.get_vocab_size()

    def encode(self, texts: Sequence[str], longest: int) -> TextBatch:
        """Numbers parts of words; see `Tokenizer.encode`."""
        self._backend.no_padding()
        self._backend.enable_truncation(longest)
        return pad_rows([found.ids for found in self._backend.encode_batch(list(texts))])

    def to_json(self) -> dict:
        """The content of `tokenizer.json`."""
        return {"kind": "hub", "definition": self._backend.to_str()}


def tokenizer_from_json(values: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer whose `to_json` gave these values.

    Raises:
        InputError: They are of no kind that is known here.
    """
    kind = values["kind"]
    if kind == "words" and all(isinstance(word, str) for word in values["words"]):
        return WordTokenizer(values["words"])
    if kind == "hub" and isinstance(values["definition"], str):
        return HubTokenizer(values["definition"])
    raise InputError(f"tokenizer: expected words or a definition of the hub's, got kind {kind!r}")


def pad_rows(rows: Sequence[Sequence[int]]) -> TextBatch:
    """Rows of numbers side by side, padded with `<pad>`."""
    longest = max(map(len, rows), default=1)
    ids = torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows], dtype=torch.long)
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    return TextBatch(ids.view(len(rows), longest), torch.arange(longest) < lengths.unsqueeze(1))
