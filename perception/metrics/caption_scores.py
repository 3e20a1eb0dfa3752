"""BLEU, ROUGE-L, CIDEr and METEOR of answers, as LEO and MSR3D count them on ScanQA, SQA3D and MSQA.

The scores are those of the COCO caption evaluation, in the package `pycocoevalcap`; its CIDEr is CIDEr-D with values
from 0 to 10, which papers print times 100 or times 10. As in LEO's `evaluator/scanqa_eval.py`, answers are normalised
(`normalize_answer`) and split at spaces. ScanQA's own `scripts/score.py` splits them by Stanford's PTB tokenizer
instead and does not normalise them, so digits, articles and spelling count there; LLaVA-3D does both. METEOR needs
Java.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Float64, Int

from perception.metrics.answer_matching import normalize_answer
from perception.metrics.bootstrap import RESAMPLES, bootstrap_interval
from perception.metrics.paired import PairedDifference

ORDERS = 4
PACKAGE = "pycocoevalcap"


@dataclass(frozen=True)
class CaptionScores:
    """Scores of one system.

    Attributes:
        means: Name of a score → its value over all questions. `meteor` is missing without Java.
        by_question: Score of each question, for the scores that are means over questions. That of METEOR is not quite:
            its value over all questions weighs them by their words.
        bleu_counts: For each question the words of the answer and of the reference nearest in length, then for each
            order the n-grams of the answer, then those that are in a reference.
    """

    means: Mapping[str, float]
    by_question: Mapping[str, Float64[np.ndarray, " questions"]]
    bleu_counts: Float64[np.ndarray, "questions counts"]


def can_score_captions() -> bool:
    """Returns whether the package that computes the scores is installed."""
    return find_spec(PACKAGE) is not None


def score_captions(answers: Sequence[str], truths: Sequence[Sequence[str]]) -> CaptionScores:
    """Scores the first answer to each question; an empty one scores 0."""
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer  # pyright: ignore[reportMissingImports]
    from pycocoevalcap.cider.cider import Cider  # pyright: ignore[reportMissingImports]
    from pycocoevalcap.rouge.rouge import Rouge  # pyright: ignore[reportMissingImports]

    given = {row: [_tokens(answer)] for row, answer in enumerate(answers)}
    references = {row: [_tokens(truth) for truth in of] for row, of in enumerate(truths)}
    bleu_scorer = BleuScorer(n=ORDERS)
    for row, (answer,) in given.items():
        bleu_scorer += (answer, references[row])
    bleu, _ = bleu_scorer.compute_score(option="closest")
    means = {f"bleu{order}": float(score) for order, score in enumerate(bleu, start=1)}
    by_question = {}
    for name, scorer in (("rouge_l", Rouge()), ("cider", Cider())):
        score, scores = scorer.compute_score(references, given)
        means[name], by_question[name] = float(score), np.array(scores, dtype=np.float64)
    if meteor := _meteor(references, given):
        means["meteor"], by_question["meteor"] = meteor
    return CaptionScores(means, by_question, np.array([_bleu_counts(of) for of in bleu_scorer.ctest], dtype=np.float64))


def compare_captions(
    first: CaptionScores, second: CaptionScores, scenes: Int[np.ndarray, " questions"], seed: int = 0
) -> dict[str, PairedDifference]:
    """Compares two systems on the same questions by every score, drawing whole scenes.

    The weights of CIDEr's n-grams stay those of all questions. BLEU is counted anew for every draw.
    """
    found = {}
    for name, ours in first.by_question.items():
        difference = (ours - second.by_question[name])[:, None]
        low, high = bootstrap_interval(difference, seed, groups=scenes)
        found[name] = PairedDifference(first.means[name] - second.means[name], float(low[0]), float(high[0]))
    sizes = np.bincount(scenes)
    drawn = np.random.default_rng(seed).multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=RESAMPLES)
    draws = [bleu_of(drawn[:, scenes] @ system.bleu_counts) for system in (first, second)]
    low, high = np.quantile(draws[0] - draws[1], [0.025, 0.975], axis=0)
    for order in range(ORDERS):
        name = f"bleu{order + 1}"
        found[name] = PairedDifference(first.means[name] - second.means[name], float(low[order]), float(high[order]))
    return {name: found[name] for name in first.means}


def bleu_of(counts: Float[np.ndarray, "draws counts"]) -> Float64[np.ndarray, "draws orders"]:
    """Returns BLEU of orders 1 to 4 from summed `bleu_counts`, smoothed as in `pycocoevalcap`."""
    words, reference = counts[:, :1], counts[:, 1:2]
    guessed, correct = counts[:, 2 : 2 + ORDERS], counts[:, 2 + ORDERS :]
    logarithms = np.cumsum(np.log((correct + 1e-15) / (guessed + 1e-9)), axis=1) / np.arange(1, ORDERS + 1)
    ratio = (words + 1e-15) / (reference + 1e-9)
    return np.exp(logarithms + np.minimum(0.0, 1 - 1 / ratio))


def _tokens(text: str) -> str:
    return " ".join(normalize_answer(text).split())


def _bleu_counts(of: Mapping) -> list[int]:
    words = of["testlen"]
    reference = min((abs(length - words), length) for length in of["reflen"])[1]
    return [words, reference, *of["guess"], *of["correct"]]


def _meteor(
    references: Mapping[int, Sequence[str]], given: Mapping[int, Sequence[str]]
) -> tuple[float, Float64[np.ndarray, " questions"]] | None:
    """Scores by METEOR 1.5 in a Java process; None without Java."""
    if shutil.which("java") is None:
        return None
    from pycocoevalcap.meteor.meteor import Meteor  # pyright: ignore[reportMissingImports]

    scorer = Meteor()
    try:
        score, scores = scorer.compute_score(references, given)
    finally:
        scorer.meteor_p.kill()
        scorer.meteor_p.communicate()
    return float(score), np.array(scores)
