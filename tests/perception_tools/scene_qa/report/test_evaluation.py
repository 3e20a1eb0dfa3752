from __future__ import annotations

import copy
from dataclasses import replace

from perception_tools.scene_qa.published import TEST_COUNTS


def test_every_question_is_one_pair_of_true_and_given(systems) -> None:
    pairs = systems[1].confusions()
    assert sum(pairs.values()) == 8
    assert pairs["yes", "yes"] == pairs["yes", "no"] == pairs["no", "yes"] == 1
    assert pairs["yoga mat", "(no answer)"] == pairs["left", "(no answer)"] == 1


def test_an_answer_right_by_another_true_answer_is_no_confusion(make_system) -> None:
    system = make_system("s", {1: ["yeah"]})
    questions = tuple(replace(question, answers=(*question.answers, "yeah")) for question in system.table.questions)
    hits = system.table.hits.copy()
    hits[1, 0] = 1.0
    assert (
        replace(system, table=replace(system.table, questions=questions, hits=hits)).confusions()["yeah", "yeah"] == 1
    )


def test_the_test_split_is_known_by_its_counts(systems) -> None:
    assert not systems[0].on_test_split
    metrics = copy.deepcopy(systems[0].metrics)
    metrics["by_type"]["first_token"] = {name: {"questions": count} for name, count in TEST_COUNTS.items()}
    assert replace(systems[0], metrics=metrics).on_test_split
