"""Splits texts into words, numbers the words, and batches the numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from perception.batches import TensorRecord

Rule = Literal["plain", "sqa3d"]
"""`plain`: lower case; a word is letters, digits and apostrophes, and every other character is a word of its own.
`sqa3d`: as in SQA3D's code, only `?` and `.` are separated from words and the case is kept. GloVe's words are lower
case, so it has no vector for "What" or "chair,"."""

MAX_WORDS = 100
"""Maximum number of words in a text; the rest is cut off, as in SQA3D's code."""
UNKNOWN = 0
"""Number of unknown words, of the only word of an empty text, and of padding."""


@dataclass(frozen=True)
class TextBatch(TensorRecord):
    """Texts as numbers, padded to the longest.

    Attributes:
        ids: Numbers of words, or of tokens of a tokenizer.
        valid: False for padding. Every text has at least one valid number.
    """

    ids: Int[Tensor, "texts words"]
    valid: Bool[Tensor, "texts words"]


@dataclass(frozen=True)
class Vocabulary:
    """The known words, numbered from 1.

    Attributes:
        words: Known words without repetition.
        rule: Rule by which texts are split.
    """

    words: tuple[str, ...]
    rule: Rule = "plain"

    def __post_init__(self) -> None:
        twice = [word for word, count in Counter(self.words).items() if count > 1]
        if twice:
            raise ValueError(f"Vocabulary: expected every word once, got {twice[:5]} more often")

    @classmethod
    def of_texts(cls, texts: Iterable[str], rule: Rule = "plain") -> Vocabulary:
        """Builds a vocabulary of all words of some texts, by frequency, then alphabetically."""
        counts = Counter(word for text in texts for word in split_words(text, rule))
        return cls(tuple(sorted(counts, key=lambda word: (-counts[word], word))), rule)

    def __len__(self) -> int:
        """Number of words including the unknown one, which is the number of rows of a table of word vectors."""
        return len(self.words) + 1

    def unknown_words(self, text: str) -> list[str]:
        """Returns the unknown words of a text in their order."""
        return [word for word in split_words(text, self.rule) if word not in self._number_of]

    def encode(self, texts: Sequence[str]) -> TextBatch:
        """Numbers the first `MAX_WORDS` words of each text; an empty text becomes one unknown word."""
        rows = [[self._number_of.get(w, UNKNOWN) for w in split_words(t, self.rule)[:MAX_WORDS]] for t in texts]
        rows = [row or [UNKNOWN] for row in rows]
        longest = max((len(row) for row in rows), default=1)
        ids = torch.tensor([row + [UNKNOWN] * (longest - len(row)) for row in rows], dtype=torch.long)
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
        return TextBatch(ids.view(len(rows), longest), torch.arange(longest) < lengths.unsqueeze(1))

    @cached_property
    def _number_of(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, start=1)}


def split_words(text: str, rule: Rule = "plain") -> list[str]:
    """Splits a text into words."""
    if rule == "sqa3d":
        return text.replace("?", " ?").replace(".", " .").split()
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]|_", text.lower())
