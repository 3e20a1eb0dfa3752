"""Single values: answers, ids and poses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perception.errors import InputError
from perception_tools.answer_files.values import ranked_answers, viewpoint, whole_number


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (" yes\n", ("yes",)),
        (["yes", " no"], ("yes", "no")),
        ([["yes"]], ("yes",)),
        (2, ("2",)),
        (2.0, ("2",)),
        ([2.5, "two"], ("2.5", "two")),
        (None, ()),
        ([], ()),
        ("", ("",)),
    ],
)
def test_answers_are_ranked_texts(value: Any, expected: tuple[str, ...]) -> None:
    assert ranked_answers("f", "answer", value) == expected


@pytest.mark.parametrize("value", [True, {"answer": "yes"}, ["yes", None], [["yes"], ["no"]], float("nan"), 1e999])
def test_what_is_no_answer_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"f, line 2: expected an answer in words or a list of them in pred, found"):
        ranked_answers("f, line 2", "pred", value)


@pytest.mark.parametrize("value", [220602000002, "220602000002", " 220602000002 ", 220602000002.0, "220602000002.0"])
def test_ids_are_whole_numbers_in_any_notation(value: Any) -> None:
    assert whole_number("f", "question_id", value) == 220602000002


@pytest.mark.parametrize("value", [2.5, "2.2E+11", "scene0000_00", "", None, True, [7], "9" * 5000])
def test_what_is_no_id_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"f: expected a whole number as qid, found"):
        whole_number("f", "qid", value)


@pytest.mark.parametrize(
    ("position", "rotation"),
    [([1, 2, 0], [0, 0, 3, 4]), ({"x": 1, "y": 2, "z": 0}, {"_w": 4, "_x": 0, "_y": 0, "_z": 3})],
)
def test_a_place_is_read_as_list_or_by_key_and_its_quaternion_scaled(position: Any, rotation: Any) -> None:
    found = viewpoint("f", {"position": position, "rotation": rotation})
    assert found is not None
    np.testing.assert_allclose(found.position, [1, 2, 0])
    np.testing.assert_allclose(found.rotation, [0, 0, 0.6, 0.8])


def test_half_a_place_is_none() -> None:
    assert viewpoint("f", {"position": [1, 2, 0]}) is None
    assert viewpoint("f", {"position": [1, 2, 0], "rotation": None}) is None


@pytest.mark.parametrize(
    ("position", "rotation"),
    [
        ([1, 2], [0, 0, 0, 1]),
        ([1, 2, 0], [0, 0, 0, 0]),
        ([1, 2, 0], "north"),
        ({"x": 1}, [0, 0, 0, 1]),
        ([1, 2, float("inf")], [0, 0, 0, 1]),
        ([1, 2, 0], [0, 0, 0, 1, 0]),
        ([1, 2, 10**400], [0, 0, 0, 1]),
    ],
)
def test_a_place_that_is_none_is_refused(position: Any, rotation: Any) -> None:
    with pytest.raises(InputError, match=r"f: expected position \[x, y, z\]"):
        viewpoint("f", {"position": position, "rotation": rotation})
