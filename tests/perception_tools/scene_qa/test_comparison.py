from __future__ import annotations

import numpy as np
import pytest

from perception.metrics.question_answering import HEADLINE, METRICS, score_answers
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception.texts.answers import AnswerVocabulary
from perception_tools.scene_qa.comparison import average_seeds, compare_systems, paired_json
from perception_tools.scene_qa.report.evaluation import PlaceErrors, SystemEvaluation

HERE = Viewpoint(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))
QUESTIONS = [
    SceneQuestion(i, f"scene{i % 3}", f"I sit {i // 3}.", "What is it?", ("chair",), HERE if i else None)
    for i in range(12)
]


def system(name: str, right: int, answer: str = "chair", recipe: str | None = None, **more) -> SystemEvaluation:
    vocabulary = AnswerVocabulary(("chair",)) if more.pop("vocabulary", False) else None
    table = score_answers(QUESTIONS, {i: [answer] for i in range(right)}, vocabulary)
    return SystemEvaluation(name, table, table.as_json(), is_oracle=False, recipe=recipe, **more)


def test_the_test_of_a_score_is_on_the_hits_by_that_score() -> None:
    paired = compare_systems(system("a", 12, "A chair."), system("b", 6))
    assert {name: (hits.first_only, hits.second_only) for name, hits in paired.items() if name in HEADLINE} == {
        "em1": (0, 6), "em10": (0, 6), "em1_cleaned": (6, 0), "refined": (6, 0), "lenient": (6, 0)
    }  # fmt: skip
    assert paired["situation_em1_cleaned"].first_only == 6
    assert "em1_unknown" not in paired  # it is not printed without a vocabulary
    assert compare_systems(system("a", 2, vocabulary=True), system("b", 1, vocabulary=True)).keys() >= {*METRICS}


def test_places_are_compared_where_both_systems_say_them() -> None:
    near = PlaceErrors(np.full(11, 0.2), np.full(11, np.inf))
    far = PlaceErrors(np.full(11, 0.7), np.full(11, np.inf))
    paired = compare_systems(system("a", 1, places=near), system("b", 1, places=far))
    assert (paired["acc_0.5m"].first_only, paired["acc_1m"].both, paired["acc_15deg"].neither) == (11, 11, 11)
    assert "acc_1m" not in compare_systems(system("a", 1, places=near), system("b", 1))


def test_a_comparison_is_written_with_its_verdict() -> None:
    written = paired_json(compare_systems(system("a", 12), system("b", 0)))["em1"]
    assert written == {
        "both": 0, "first_only": 12, "second_only": 0, "neither": 0, "interval": [1.0, 1.0], "difference": 1.0,
        "p_value": pytest.approx(2 / 2**12), "told_apart": True,
    }  # fmt: skip


def test_seeds_are_averaged_and_compared_with_the_first_recipe() -> None:
    runs = [system("a1", 12, recipe="a"), system("b1", 3, recipe="b"), system("a2", 6, recipe="a"), system("file", 12)]
    first, second = average_seeds(runs)
    assert (first.recipe, first.runs, first.against) == ("a", ("a1", "a2"), {})
    assert first.scores["em1"] == (1.0, 0.5)
    assert second.against["em1"].difference == pytest.approx(0.5)
    written = second.as_json()
    assert written["scores"]["em1"] == {"mean": 0.25, "standard_deviation": None, "lowest": 0.25, "highest": 0.25}
    assert written["first_against_this"]["em1"]["difference"] == pytest.approx(0.5)


def test_without_several_runs_of_a_recipe_there_is_no_mean() -> None:
    assert average_seeds([system("a1", 12, recipe="a"), system("b1", 3, recipe="b")]) == []
    assert average_seeds([system("file", 12)]) == []
