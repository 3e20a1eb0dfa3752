"""The scores against the published scripts' way of calling the same package, and against values counted by hand."""

from __future__ import annotations

import shutil
import sys
from unittest.mock import MagicMock

import numpy as np
import pytest

from perception.metrics import caption_scores
from perception.metrics.caption_scores import bleu_of, compare_captions, score_captions

pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is not installed: pip install pycocoevalcap")

TRUTHS = [["brown chair", "chair"], ["two"], ["on the left of the desk"], ["white board"], ["yes"]] * 4
ANSWERS = ["A brown chair.", "3", "left of the desk", "white", ""] * 4
SCENES = np.repeat(np.arange(5), 4)


@pytest.fixture(autouse=True)
def without_java(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR takes a second to start, so only its own test has it."""
    if request.node.name != "test_meteor_is_scored_where_there_is_java":
        monkeypatch.setattr(caption_scores.shutil, "which", lambda _: None)


def test_perfect_answers_have_the_highest_scores() -> None:
    scores = score_captions([of[0] for of in TRUTHS], TRUTHS)
    assert scores.means["bleu1"] == pytest.approx(1.0)
    assert scores.means["rouge_l"] == pytest.approx(1.0)
    worse = score_captions(ANSWERS, TRUTHS)
    assert all(worse.means[name] < scores.means[name] for name in scores.means)


def test_bleu_and_rouge_are_as_counted_by_hand() -> None:
    scores = score_captions(["the brown chair", "red bed"], [["brown chair"], ["blue bed"]])
    assert scores.means["bleu1"] == pytest.approx(3 / 4)  # brown, chair, bed of four words; "the" is removed
    assert scores.means["bleu2"] == pytest.approx(np.sqrt(3 / 4 * 1 / 2))
    assert scores.by_question["rouge_l"].tolist() == pytest.approx([1.0, 0.5])


def test_scores_are_those_of_leos_calls() -> None:
    from pycocoevalcap.bleu.bleu import Bleu  # pyright: ignore[reportMissingImports]
    from pycocoevalcap.cider.cider import Cider  # pyright: ignore[reportMissingImports]

    from perception.metrics.answer_matching import normalize_answer

    references = {i: [normalize_answer(truth) for truth in of] for i, of in enumerate(TRUTHS)}
    given = {i: [normalize_answer(answer)] for i, answer in enumerate(ANSWERS)}
    scores = score_captions(ANSWERS, TRUTHS)
    bleu = Bleu(4).compute_score(references, given, verbose=0)[0]
    assert [scores.means[f"bleu{n}"] for n in (1, 2, 3, 4)] == pytest.approx(bleu)
    assert scores.means["cider"] == pytest.approx(Cider().compute_score(references, given)[0])
    assert bleu_of(scores.bleu_counts.sum(axis=0)[None])[0] == pytest.approx(bleu)


def test_a_better_system_is_told_apart_by_every_score_and_a_system_not_from_itself() -> None:
    better, worse = (score_captions(answers, TRUTHS) for answers in ([of[0] for of in TRUTHS], ANSWERS))
    compared = compare_captions(better, worse, SCENES)
    assert compared.keys() == better.means.keys()
    for name in ("bleu1", "rouge_l", "cider"):
        assert compared[name].difference == pytest.approx(better.means[name] - worse.means[name])
        assert compared[name].told_apart
    assert not any(of.told_apart for of in compare_captions(worse, worse, SCENES).values())


def test_every_interval_is_around_its_difference_and_repeats_with_its_seed() -> None:
    better, worse = (score_captions(answers, TRUTHS) for answers in ([of[0] for of in TRUTHS], ANSWERS))
    compared = compare_captions(better, worse, np.arange(20), seed=3)
    for of in compared.values():
        low, high = of.interval
        assert low < of.difference < high
        assert high - low < 0.7 * max(1, of.difference)
    assert compared == compare_captions(better, worse, np.arange(20), seed=3)
    other = compare_captions(better, worse, np.arange(20), seed=4)
    assert all(compared[name].interval != other[name].interval for name in compared)


@pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs Java, which is not installed")
def test_meteor_is_scored_where_there_is_java() -> None:
    scores = score_captions(["brown chair", "sofa", "line\nbreak"], [["brown chair"], ["couch"], ["line break"]])
    assert scores.means["meteor"] == pytest.approx(np.mean(scores.by_question["meteor"]), abs=0.3)
    assert scores.by_question["meteor"][0] > 0.9
    assert 0 < scores.by_question["meteor"][1] < 1  # a synonym


def test_meteors_process_is_ended_whether_it_scores_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for METEOR, which needs Java."""
    scorers = []

    class Meteor:
        def __init__(self) -> None:
            self.meteor_p = MagicMock()
            scorers.append(self)

        def compute_score(self, references: dict, given: dict) -> tuple[float, list[float]]:
            if given[0] == ["fail"]:
                raise BrokenPipeError
            return 0.25, [float(of[0] in references[row]) for row, of in given.items()]

    monkeypatch.setitem(sys.modules, "pycocoevalcap.meteor.meteor", MagicMock(Meteor=Meteor))
    monkeypatch.setattr(caption_scores.shutil, "which", lambda name: "/usr/bin/java" if name == "java" else None)
    scores = score_captions(["A chair.", "bed"], [["chair"], ["desk"]])
    assert (scores.means["meteor"], scores.by_question["meteor"].tolist()) == (0.25, [1.0, 0.0])
    with pytest.raises(BrokenPipeError):
        score_captions(["fail"], [["desk"]])
    assert len(scorers) == 2
    for scorer in scorers:
        assert [call[0] for call in scorer.meteor_p.method_calls] == ["kill", "communicate"]


def test_without_java_there_is_no_meteor() -> None:
    assert "meteor" not in score_captions(ANSWERS, TRUTHS).means
