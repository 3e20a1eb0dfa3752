"""Scores answers to questions about scenes, averaged over questions; SQA3D's own code averages over batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int

from perception.errors import InputError
from perception.metrics.answer_matching import matches_cleaned, matches_lenient, matches_refined
from perception.metrics.bootstrap import bootstrap_interval
from perception.metrics.group_accuracy import all_right
from perception.scenes.scene import SceneQuestion
from perception.texts.answers import UNKNOWN, AnswerVocabulary

QUESTION_TYPES = ("what", "is", "how", "can", "which", "other")

TYPE_RULES = ("first_token", "mcan")
"""The two rules for the type of a question, both used in published tables; see `question_type`."""

METRICS = ("em1", "em10", "em1_cleaned", "refined", "lenient", "em1_unknown", "em10_unknown")
"""Columns of `AnswerTable.hits`, in order. `perception.metrics.answer_matching.RULES` defines the first five.

In the last two the answer `unknown` is right if the vocabulary holds no true answer. SQA3D's classifiers over 707
classes are scored in this way.
"""

HEADLINE = METRICS[:5]

RANKS = 10
"""Number of ranked answers that count for `em10`."""


def question_type(question: str, rule: str) -> str:
    """Returns one of `QUESTION_TYPES`, from the first word in lower case.

    `first_token` takes the text up to the first space; under this rule the ScanQA and ClipBERT rows of SQA3D's table
    are whole numbers of questions. `mcan` (MCAN's loader and its row) first removes full stops, commas and question
    marks and splits off `'s`, so that "What's" is a *what*. On the test split they differ in three questions.
    """
    text = question.lower()
    if rule == "mcan":
        text = text.translate(str.maketrans("", "", ".,?")).replace("'s", " 's")
    elif rule != "first_token":
        raise ValueError(f"question_type: expected a rule of {TYPE_RULES}, got {rule!r}")
    first = (text.split() or [""])[0]
    return first if first in QUESTION_TYPES else "other"


@dataclass(frozen=True)
class AnswerTable:
    """Scores of all questions under every rule.

    Attributes:
        questions: Question of each row.
        answers: Ranked answers to each question; empty if there was none, which counts as wrong.
        in_vocabulary: Whether the vocabulary holds a true answer; None without a vocabulary.
        hits: 1 if right; columns as in `METRICS`.
        kinds: Name of a classification → type of each question. `TYPE_RULES` where the data set has none of its own.
        groups: Name of a grouping, such as `situation` → group of each question, for the share of groups that are all
            right.
        seed: Seed of the bootstrap intervals.
    """

    questions: tuple[SceneQuestion, ...]
    answers: tuple[tuple[str, ...], ...]
    in_vocabulary: Bool[np.ndarray, " questions"] | None
    hits: Float64[np.ndarray, "questions metrics"]
    kinds: Mapping[str, tuple[str, ...]]
    groups: Mapping[str, tuple[str, ...]]
    seed: int = 0

    def column(self, metric: str) -> Float64[np.ndarray, " questions"]:
        """Returns one metric of all questions."""
        return self.hits[:, METRICS.index(metric)]

    @cached_property
    def scenes(self) -> Int[np.ndarray, " questions"]:
        """Index of each question's scene; questions about one scene are not independent."""
        return np.unique([question.scene_id for question in self.questions], return_inverse=True)[1]

    def only(self, member: Bool[np.ndarray, " questions"]) -> AnswerTable:
        """Returns the table of some of the questions.

        Raises:
            InputError: No question is left.
        """
        rows = np.flatnonzero(member)
        if not len(rows):
            raise InputError("scoring answers: expected some of the questions to be left, got none; choose others")

        def chosen(values: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
            return {name: tuple(of[row] for row in rows) for name, of in values.items()}

        return AnswerTable(
            questions=tuple(self.questions[row] for row in rows),
            answers=tuple(self.answers[row] for row in rows),
            in_vocabulary=None if self.in_vocabulary is None else self.in_vocabulary[rows],
            hits=self.hits[rows],
            kinds=chosen(self.kinds),
            groups=chosen(self.groups),
            seed=self.seed,
        )

    def as_json(self) -> dict:
        """Returns the contents of `metrics.json`: shares in [0, 1], over all questions, by type, scene and group.

        Intervals are 95 % bootstrap intervals over scenes. `out_of_vocabulary` counts the questions that no classifier
        over the vocabulary can answer, and `unknown_as_class` scores them as SQA3D's code does. Both are None without a
        vocabulary.
        """
        outside = None if self.in_vocabulary is None else int((~self.in_vocabulary).sum())
        means = dict(zip(METRICS, self.hits.mean(axis=0).tolist(), strict=True))
        unknown = {"em1": means["em1_unknown"], "em10": means["em10_unknown"]}
        return {
            "questions": len(self.questions),
            "scenes": int(self.scenes.max()) + 1,
            "unanswered": sum(not ranked for ranked in self.answers),
            "most_ranked": max(map(len, self.answers), default=0),
            **{name: means[name] for name in HEADLINE},
            "out_of_vocabulary": outside,
            "unknown_as_class": None if outside is None else unknown,
            "interval": {"level": 0.95, "seed": self.seed, **self._intervals(np.ones(len(self.hits), dtype=bool))},
            "by_type": {name: self._by_type(kinds) for name, kinds in self.kinds.items()},
            "by_scene": self._by_scene(),
            "all_right": {name: self._all_right(name) for name in self.groups},
        }

    def _by_type(self, kinds: Sequence[str]) -> dict[str, dict]:
        """Returns the means of every type that occurs: SQA3D's in its order, then others by name."""
        types = np.array(kinds)
        first = [name for name in QUESTION_TYPES if name in kinds]
        names = [*first, *sorted(set(kinds) - set(first))]
        members = {name: types == name for name in names}
        return {name: self._means(member) | {"interval": self._intervals(member)} for name, member in members.items()}

    def _by_scene(self) -> dict[str, dict]:
        names = sorted({question.scene_id for question in self.questions})
        return {name: self._means(self.scenes == index) for index, name in enumerate(names)}

    def groups_right(self, name: str) -> tuple[Bool[np.ndarray, "groups headline_metrics"], Int[np.ndarray, " groups"]]:
        """Returns whether all questions of each group are right, by every score of `HEADLINE`, and each one's scene."""
        _, first, numbers = np.unique(np.array(self.groups[name]), return_index=True, return_inverse=True)
        return all_right(self.hits[:, : len(HEADLINE)], numbers), self.scenes[first]

    def _all_right(self, name: str) -> dict:
        """Returns the number of groups and, for each score, the share of groups whose questions are all right."""
        right, _ = self.groups_right(name)
        return {"groups": len(right), **dict(zip(HEADLINE, right.mean(axis=0).tolist(), strict=True))}

    def _means(self, member: Bool[np.ndarray, " questions"]) -> dict:
        means = self.hits[member].mean(axis=0).tolist()
        return {"questions": int(member.sum()), **dict(zip(HEADLINE, means, strict=False))}

    def _intervals(self, member: Bool[np.ndarray, " questions"]) -> dict[str, list[float]]:
        rows, scenes = self.hits[member][:, : len(HEADLINE)], self.scenes[member]
        low, high = bootstrap_interval(rows, self.seed, groups=scenes)
        return {name: [float(low[i]), float(high[i])] for i, name in enumerate(HEADLINE)}


def score_answers(
    questions: Sequence[SceneQuestion],
    answers: Mapping[int, Sequence[str]],
    vocabulary: AnswerVocabulary | None,
    *,
    kinds: Mapping[str, Sequence[str]] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> AnswerTable:
    """Scores the ranked answers (best first) of each question id; a question without an answer counts as wrong.

    Args:
        questions: Questions, each with a true answer.
        answers: Ranked answers by question id.
        vocabulary: Answers that a classifier can give; None where there is none.
        kinds: See `AnswerTable`; `TYPE_RULES` unless given.
        groups: See `AnswerTable`; the situations in which questions are asked unless given.

    Raises:
        InputError: There are no questions, or one has no true answer.
    """
    if not questions:
        raise InputError("scoring answers: expected questions, got none; give a split that has some")
    for question in questions:
        if not question.answers:
            raise InputError(
                f"question {question.id}: expected a true answer to compare with, got none; give annotations"
            )
    ranked = tuple(tuple(answers.get(question.id, ()))[:RANKS] for question in questions)
    known = [vocabulary is None or any(answer in vocabulary for answer in question.answers) for question in questions]
    rows = [_hits(given, set(question.answers), k) for given, question, k in zip(ranked, questions, known, strict=True)]
    if kinds is None:
        kinds = {rule: [question_type(question.question, rule) for question in questions] for rule in TYPE_RULES}
    if groups is None:
        groups = {"situation": [f"{question.scene_id} {question.situation}" for question in questions]}
    return AnswerTable(
        questions=tuple(questions),
        answers=ranked,
        in_vocabulary=None if vocabulary is None else np.array(known),
        hits=np.array(rows, dtype=np.float64),
        kinds={name: tuple(of) for name, of in kinds.items()},
        groups={name: tuple(of) for name, of in groups.items()},
    )


def _hits(ranked: Sequence[str], true: set[str], in_vocabulary: bool) -> tuple[bool, ...]:
    """Computes a row of `AnswerTable.hits`."""
    true_or_unknown = true if in_vocabulary else true | {UNKNOWN}
    first = ranked[0] if ranked else ""
    return (
        first in true,
        any(answer in true for answer in ranked),
        matches_cleaned(first, true),
        matches_refined(first, true),
        matches_lenient(first, true),
        first in true_or_unknown,
        any(answer in true_or_unknown for answer in ranked),
    )
