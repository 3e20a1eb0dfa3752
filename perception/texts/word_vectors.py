"""Reads word vectors in the text format of GloVe (https://nlp.stanford.edu/projects/glove/)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from perception.errors import InputError
from perception.texts.vocabulary import Vocabulary

UNKNOWN_WORDS = ("unk", "<unk>")
"""Entries whose vector is used for words that are not in the file; without them, it is the mean of the vectors read."""


@dataclass(frozen=True)
class WordVectors:
    """Vectors of words.

    Attributes:
        vector_of: Vector of each word.
        unknown: Vector of all other words.
    """

    vector_of: dict[str, Float32[np.ndarray, " dim"]]
    unknown: Float32[np.ndarray, " dim"]

    def table(self, vocabulary: Vocabulary) -> Float32[Tensor, "numbers dim"]:
        """Returns a row for each number of a vocabulary, the unknown word's first."""
        rows = [self.unknown, *(self.vector_of.get(word, self.unknown) for word in vocabulary.words)]
        return torch.from_numpy(np.stack(rows))


def read_word_vectors(path: Path, wanted: Collection[str] | None = None) -> WordVectors:
    """Reads lines of `word number number ...`; a word may hold spaces, as in GloVe's 840B file.

    Args:
        path: A GloVe text file.
        wanted: Words whose vectors are kept, in addition to `UNKNOWN_WORDS`; None keeps all.

    Raises:
        InputError: The file is missing, or holds none of the wanted words, or a line is not a word and as many finite
            numbers as in the first line.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected a GloVe text file, found none; unpack glove.6B.zip or the like there")
    found: dict[str, Float32[np.ndarray, " dim"]] = {}
    kept = None if wanted is None else {*wanted, *UNKNOWN_WORDS}
    try:
        for number, word, fields in _lines(path):
            if kept is None or word in kept:
                if word in found:
                    raise InputError(f"{path}, line {number}: expected every word once, got {word!r} again")
                found[word] = _vector(path, number, fields)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8 text, got {error}; unpack the file if it is an archive") from error
    if wanted and found.keys().isdisjoint(wanted):
        example = min(wanted)
        raise InputError(
            f"{path}: expected vectors of {len(wanted)} wanted words, such as {example!r}, found none of them; give "
            "vectors of the same language, in lower case"
        )
    if not found:
        raise InputError(f"{path}: expected vectors of words, found none; unpack glove.6B.zip or the like there")
    unknown = next((found[word] for word in UNKNOWN_WORDS if word in found), None)
    return WordVectors(found, np.mean(list(found.values()), axis=0) if unknown is None else unknown)


def _lines(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Yields the line number, the word and the fields after it."""
    dim = 0
    with path.open(encoding="utf-8", newline="\n") as file:  # GloVe's words contain other line separators
        for number, line in enumerate(file, start=1):
            dim = dim or line.count(" ")
            if number == 1 and dim < 2:
                raise InputError(
                    f"{path}, line 1: expected a word and its vector, got {line[:40]!r}; "
                    "remove the first line of two counts that word2vec writes"
                )
            word, *fields = line.rstrip("\r\n").rsplit(" ", dim)
            if len(fields) != dim:
                raise InputError(
                    f"{path}, line {number}: expected a word and {dim} numbers as in line 1, got {len(fields)} "
                    f"fields after {word[:40]!r}; the file may be cut off, fetch it again"
                )
            yield number, word, fields


def _vector(path: Path, number: int, fields: list[str]) -> Float32[np.ndarray, " dim"]:
    try:
        vector = np.array(fields, dtype=np.float32)
    except ValueError as error:
        raise InputError(f"{path}, line {number}: expected {len(fields)} numbers after the word, got {error}") from None
    if not np.isfinite(vector).all():
        raise InputError(f"{path}, line {number}: expected finite numbers, got nan or inf")
    return vector
