"""Remarks on scores that no model is likely to reach: what a file of true answers, or of one answer, looks like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from perception.scenes.scene import SceneQuestion, Viewpoint

HUMAN = 0.9006
"""Share of SQA3D's test questions that people answer right: Ma et al., ICLR 2023, as others quote it."""

_TRUTH = (
    "Check that the file holds predictions, not true answers, and that the model was not trained on these questions."
)
_SPECIAL_TOKEN = re.compile(r"</?s>|<pad>|<unk>|<\|\w+\|>|\[PAD\]|\[SEP\]")


def remarks_on_answers(
    name: str, answers: Mapping[int, Sequence[str]], truths: Mapping[int, Sequence[str]]
) -> list[str]:
    """Returns what is suspicious about a system's answers, one sentence each.

    Args:
        name: Name of the system.
        answers: Ranked answers by question id.
        truths: True answers of every question that was asked.
    """
    best = {number: ranked[0] for number, ranked in answers.items() if ranked and number in truths}
    if not best:
        return []
    remarks = []
    right = sum(_loose(answer) in map(_loose, truths[number]) for number, answer in best.items())
    if right == len(best):
        remarks.append(f"{name}: {_all(len(best))} right. {_TRUTH}")
    elif right > HUMAN * len(truths):
        remarks.append(f"{name}: more answers are right than people's ({100 * HUMAN:.0f} %). {_TRUTH}")
    elif right == 0:
        remarks.append(f"{name}: none of the {len(best):,} answers is right. Check which field holds the answers.")
    if len(best) > 1 and len(set(best.values())) == 1:
        remarks.append(f"{name}: all {len(best):,} answers are the same, {next(iter(best.values()))!r}.")
    tokens = [found[0] for answer in best.values() if (found := _SPECIAL_TOKEN.search(answer))]
    if tokens:
        remarks.append(
            f"{name}: a tokenizer's special tokens, such as {tokens[0]!r}, stand in {len(tokens):,} of the answers, "
            "which are scored as written. Decode with skip_special_tokens=True, or give --clean."
        )
    return remarks


def remarks_on_viewpoints(
    name: str, viewpoints: Mapping[int, Viewpoint], questions: Sequence[SceneQuestion]
) -> list[str]:
    """Returns a remark if every place is the annotated one."""
    true = {question.id: question.viewpoint for question in questions if question.viewpoint is not None}
    pairs = [(guess.position, true[number].position) for number, guess in viewpoints.items() if number in true]
    if not pairs or not all(np.allclose(given[:2], annotated[:2], atol=1e-6) for given, annotated in pairs):
        return []
    return [f"{name}: every asker's position is the annotated one. Check that the file holds predictions."]


def _all(count: int) -> str:
    return "the answer is" if count == 1 else f"all {count:,} answers are"


def _loose(answer: str) -> str:
    """Case and a final full stop do not make a copy of the truth a prediction."""
    return answer.strip().rstrip(".").casefold()
