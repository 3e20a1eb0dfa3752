"""The rules by which an answer counts as right, each with the papers that use it, and cleaning of generated answers.

Numbers under different rules cannot be compared: the lenient rules give several points more. One checkpoint of cdViews
scores 48.59 by exact match, 51.38 by LEO's refined rule and 56.8 by SQA3D's language-model script
(https://github.com/fereenwong/cdViews/issues/4).

An empty answer is wrong here under every rule. Both published scripts accept it, because every text contains it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class MatchingRule:
    """One rule.

    Attributes:
        heading: Name in tables.
        definition: When an answer is right.
        used_by: Papers and programs that print it.
    """

    heading: str
    definition: str
    used_by: str


RULES = {
    "em1": MatchingRule(
        "EM@1",
        "The first answer is an annotated one, to the letter.",
        "SQA3D's and ScanQA's classifiers over a dictionary of answers, and Pang et al.",
    ),
    "em10": MatchingRule(
        "EM@10", "One of the first ten answers is an annotated one, to the letter.", "the same classifiers"
    ),
    "em1_cleaned": MatchingRule(
        "EM@1 cleaned",
        "Equal after both lost case, punctuation, articles and digits (`normalize_answer`).",
        "what LEO, LLaVA-3D and Video-3D-LLM call EM or EM@1. With several true answers LEO's loop stops at the "
        "first that contains the given one or is contained in it, even if a later one is equal; here any may be equal",
    ),
    "refined": MatchingRule(
        "refined",
        "Equal after that cleaning, or, spaces aside, one contains the other.",
        "EM-R of LEO (evaluator/scanqa_eval.py), LLaVA-3D, MSR3D and Real-3DQA. Their scripts accept an empty answer",
    ),
    "lenient": MatchingRule(
        "lenient",
        "A true answer contains the cleaned given one, spaces aside, or shares a word with it.",
        "SQA3D's script for language models (LLM/eval_sqa3d_llm.py): its UnifiedQA and GPT-3 rows, and cdViews. The "
        "script accepts an empty answer",
    ),
}
"""Name of a score in `metrics.json` → its rule."""

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
"""Words that SQA3D's normalisation replaces: numbers (21 and 22 are missing there too) and its annotators' typos."""


def normalize_answer(text: str) -> str:
    """Normalises a text as `clean_answer` of SQA3D's language-model script and of LEO: no case, articles or digits.

    Of punctuation, commas, hyphens, apostrophes and colons stay; accented letters are dropped. "The 2 chairs." becomes
    "two chairs".
    """
    text = re.sub(" {2,}", " ", text.lower().strip(" "))
    text = re.sub(r"[^a-zA-Z0-9,'\s\-:]+", "", text)
    text = re.sub(r"\w+", lambda word: _WORDS.get(word[0], word[0]), text)
    text = re.sub(r"\bo' +clock\b", "o'clock", text)
    text = re.sub(r"\b([a-zA-Z]+)[0-9]\b", r"\1", text)  # "mat2" becomes "mat"
    for article in ("a", "an", "the"):
        text = re.sub(rf"\b{article} ([a-zA-Z]+)", r"\1", text)
    return re.sub(r"\bbackwards\b", "backward", text)


_ENDS = re.compile(r"</s>|<\|im_end\|>|<\|end\|>|<\|endoftext\|>|<\|eot_id\|>|<end_of_turn>|<eos>", re.IGNORECASE)
_TOKENS = re.compile(r"<s>|<pad>|<unk>|<bos>|<\|im_start\|>|<\|[a-z_]+\|>", re.IGNORECASE)
_THOUGHT = re.compile(r"<think>.*?(</think>|$)", re.DOTALL | re.IGNORECASE)
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.DOTALL | re.IGNORECASE)
_PREFIX = re.compile(
    r"(?:^|.*?\b)(?:assistant\s*:|(?:final |short )?answer(?: is)?\s*:|the (?:final )?answer is\b:?)\s*",
    re.DOTALL | re.IGNORECASE,
)
_EXPLANATION = re.compile(
    r"\n|\b(?:explanation|reason|reasoning|rationale|justification)\s*:|[\s,;(]because\b|[.!?]\s", re.IGNORECASE
)


def clean_answer(text: str) -> str:
    """Returns the answer without what language models write around it; a bare answer stays as it is.

    It takes, in this order: the text before the first end token (`</s>`, `<|im_end|>`, …) without other special
    tokens; what `<answer>` encloses, without `<think>`; what follows the last "Answer:", "the answer is" or
    "ASSISTANT:"; of that the first line and sentence, up to "because" or "Explanation:". Quotation marks, asterisks
    and a closing full stop around the rest go too.

    This is not the normalisation of the published scripts, which is part of the rules: see `normalize_answer`.
    """
    parts = [part for part in _ENDS.split(text) if part.strip()]
    text = _TOKENS.sub(" ", parts[0] if parts else "")
    text = _THOUGHT.sub(" ", text)
    tagged = _TAGGED.findall(text)
    text = (tagged[-1] if tagged else text).strip()
    while (prefix := _PREFIX.match(text)) and prefix.end() < len(text):
        text = text[prefix.end() :]
    first = _EXPLANATION.split(text, maxsplit=1)[0]
    return _unwrap(first if first.strip() else text)


def _unwrap(text: str) -> str:
    """Removes quotation marks and asterisks around a text, and punctuation at its end."""
    while True:
        inner = text.strip().rstrip(".,;(").rstrip()
        if len(inner) > 2 and inner[0] == inner[-1] and inner[0] in "\"'`*":
            inner = inner[1:-1]
        if inner == text:
            return text
        text = inner


def matches_cleaned(answer: str, truths: Iterable[str]) -> bool:
    """Returns whether the answer equals a true one after both are cleaned."""
    cleaned = normalize_answer(answer)
    return bool(cleaned.strip()) and any(cleaned == normalize_answer(truth) for truth in truths)


def matches_refined(answer: str, truths: Iterable[str]) -> bool:
    """Returns whether the answer contains a true one or the reverse, both cleaned and without spaces."""
    given = squeeze(normalize_answer(answer))
    return bool(given) and any(
        given in true or true in given for true in map(squeeze, map(normalize_answer, truths)) if true
    )


def matches_lenient(answer: str, truths: Iterable[str]) -> bool:
    """Returns whether a true answer contains the cleaned answer without spaces, or shares a word with it."""
    cleaned = normalize_answer(answer)
    given, words = squeeze(cleaned), set(cleaned.split())
    return bool(given) and any(given in squeeze(truth) or words & set(truth.split()) for truth in truths)


def squeeze(text: str) -> str:
    """Returns the text without white space, as the lenient and the refined rule compare it."""
    return "".join(text.split())
