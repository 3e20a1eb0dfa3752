"""A part of the training records, kept apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.errors import InputError
from perception_tools.classification.held_out import hold_out


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=80),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_parts_are_disjoint_complete_even_and_a_function_of_the_seed(
    labels: list[int], share: float, seed: int
) -> None:
    of, counts = np.array(labels), np.bincount(labels, minlength=6)
    expected = np.minimum(np.floor(share * counts + 0.5), np.maximum(counts - 1, 0)).astype(int)
    if not expected.any():
        with pytest.raises(InputError, match="expected a cloud or more of a class"):
            hold_out(of, share, seed, "cloud")
        return
    train, held = hold_out(of, share, seed, "cloud")
    assert np.bincount(of[held], minlength=6).tolist() == expected.tolist()
    assert sorted([*train, *held]) == list(range(len(labels)))
    assert [*train] == sorted(train)
    assert [*held] == sorted(held)
    assert hold_out(of, share, seed, "cloud")[1].tolist() == held.tolist()


def test_another_seed_holds_out_others() -> None:
    labels = np.array([0, 1] * 50)
    drawn = {tuple(hold_out(labels, 0.2, seed, "clip")[1]) for seed in range(5)}
    assert len(drawn) == 5


def test_the_draw_of_a_class_does_not_depend_on_the_others() -> None:
    few, many = np.array([0] * 20), np.array([0] * 20 + [1] * 7)
    held = hold_out(few, 0.3, 1, "clip")[1]
    assert held.tolist() == [row for row in hold_out(many, 0.3, 1, "clip")[1] if row < 20]
