"""The rules by which an answer counts as right: exact match, match after cleaning, and two lenient rules.

Numbers under different rules cannot be compared: the lenient rules give several points more.

- `em1`, `em10`: the strings are equal. What a classifier over SQA3D's answer dictionary is scored with.
- `em1_cleaned`: equal after `clean_answer`. What language-model papers (LEO and those after it) call EM@1.
- `refined`: equal after `clean_answer`, or one contains the other when spaces are removed. LEO's EM-R
  (embodied-generalist, `evaluator/scanqa_eval.py`).
- `lenient`: equal, or the true answer contains the given one, or they share a word; only the given one is cleaned.
  SQA3D's script for its language-model rows, UnifiedQA and GPT-3 (`LLM/eval_sqa3d_llm.py`).

An empty answer is wrong here under every rule; both published scripts accept it, because every text contains it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()

_WORDS = {str(number): word for number, word in enumerate(_NUMBERS)} | {
    "23": "twenty-three",
    "none": "zero",
    "letf": "left",
    "let": "left",
    "tehre": "there",
    "rigth": "right",
    "rght": "right",
    "behine": "behind",
    "tv": "TV",
    "chai": "chair",
    "wasing": "washing",
    "waslked": "walked",
    "oclock": "o'clock",
}
"""Words that SQA3D's cleaning replaces: numbers (21 and 22 are missing there too) and its annotators' typos."""


def clean_answer(text: str) -> str:
    """Normalises a text as SQA3D's language-model script and LEO do: no case, punctuation, articles or digits.

    Commas, hyphens, apostrophes and colons stay; accented letters are dropped. "The 2 chairs." becomes "two chairs".
    """
    text = re.sub(" {2,}", " ", text.lower().strip(" "))
    text = re.sub(r"[^a-zA-Z0-9,'\s\-:]+", "", text)
    text = re.sub(r"\w+", lambda word: _WORDS.get(word[0], word[0]), text)
    text = re.sub(r"\bo' +clock\b", "o'clock", text)
    text = re.sub(r"\b([a-zA-Z]+)[0-9]\b", r"\1", text)  # "mat2" becomes "mat"
    for article in ("a", "an", "the"):
        text = re.sub(rf"\b{article} ([a-zA-Z]+)", r"\1", text)
    return re.sub(r"\bbackwards\b", "backward", text)


def matches_cleaned(answer: str, truths: Iterable[str]) -> bool:
    """Returns whether the answer equals a true one after both are cleaned."""
    cleaned = clean_answer(answer)
    return bool(cleaned.strip()) and any(cleaned == clean_answer(truth) for truth in truths)


def matches_refined(answer: str, truths: Iterable[str]) -> bool:
    """Returns whether the answer contains a true one or the reverse, both cleaned and without spaces."""
    given = _squeeze(clean_answer(answer))
    return bool(given) and any(
        given in true or true in given for true in map(_squeeze, map(clean_answer, truths)) if true
    )


def matches_lenient(answer: str, truths: Iterable[str]) -> bool:
    """Returns whether a true answer contains the cleaned answer without spaces, or shares a word with it."""
    cleaned = clean_answer(answer)
    given, words = _squeeze(cleaned), set(cleaned.split())
    return bool(given) and any(given in _squeeze(truth) or words & set(truth.split()) for truth in truths)


def _squeeze(text: str) -> str:
    return "".join(text.split())
