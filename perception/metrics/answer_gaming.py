"""How much of a refined or lenient score is earned by answers that say less, or much more, than the true ones.

Both rules accept parts and wholes of words: on SQA3D's test split "e" for every question scores 54.5 % by the refined
rule, and the sixty most frequent answers in one sentence score 81 %.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from perception.metrics.answer_matching import matches_lenient, matches_refined, normalize_answer, squeeze

LONG_WORDS = 6
"""An answer with this many words more than the true one inside it counts as long; true answers seldom have four."""

LISTED_ANSWERS = 60
"""Number of answers in the sentence that lists them."""


def refined_match(answer: str, truths: Iterable[str]) -> str | None:
    """Returns how an answer is right by the refined rule, the most literal way first; None if it is not.

    Returns:
        `equal`: Equal after normalisation.
        `words`: One is made of whole words of the other: "chair" for "brown chair", "the chair there" for "chair".
        `long`: The same, but the answer has `LONG_WORDS` words more than the true one, so it may list alternatives.
        `letters`: Only letters match: "e" for "chair", "network" for "two", "armchair" for "chair".
    """
    ways = {_match(normalize_answer(answer), normalize_answer(truth)) for truth in truths}
    return next((way for way in ("equal", "words", "long", "letters") if way in ways), None)


def _match(given: str, true: str) -> str | None:
    if not given.strip() or not true.strip():
        return None
    if given == true:
        return "equal"
    short, long = sorted((given, true), key=lambda text: len(squeeze(text)))
    if squeeze(short) not in squeeze(long):
        return None
    if squeeze(short) != squeeze(long) and not re.search(rf"(?<!\w){re.escape(short.strip())}(?!\w)", long):
        return "letters"
    return "long" if len(given.split()) - len(true.split()) >= LONG_WORDS else "words"


@dataclass(frozen=True)
class EasyAnswer:
    """What one answer that nobody would accept scores when it is given to every question.

    Attributes:
        answer: The answer, or what it consists of.
        refined: Share of questions that it answers by the refined rule.
        lenient: Share by the lenient rule.
    """

    answer: str
    refined: float
    lenient: float


def easy_answers(truths: Iterable[Sequence[str]]) -> tuple[EasyAnswer, EasyAnswer]:
    """Scores the letter that scores best by the refined rule, and the most frequent answers in one sentence.

    Args:
        truths: True answers of each question.
    """
    counts = Counter(tuple(answers) for answers in truths)

    def scored(text: str, description: str) -> EasyAnswer:
        refined, lenient = (
            sum(count for answers, count in counts.items() if rule(text, answers)) / counts.total()
            for rule in (matches_refined, matches_lenient)
        )
        return EasyAnswer(description, refined, lenient)

    answers = Counter(answer for row, count in counts.items() for answer in row for _ in range(count))
    listed = [answer for answer, _ in answers.most_common(LISTED_ANSWERS)]
    letters = [scored(letter, f"“{letter}”") for letter in ascii_lowercase]
    return (
        max(letters, key=lambda easy: easy.refined),
        scored(" ".join(listed), f"the {len(listed)} most frequent answers in one sentence"),
    )
