from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from perception.analysis.gradients import flat_gradient, gradient_coherence

GRADIENTS = npst.arrays(
    np.float64, st.tuples(st.integers(2, 6), st.integers(1, 5)), elements=st.floats(-10, 10).map(lambda v: round(v, 3))
)


@given(GRADIENTS)
def test_it_is_the_mean_over_all_pairs(gradients: np.ndarray) -> None:
    found = gradient_coherence(torch.from_numpy(row) for row in gradients)
    cosines, products = [], []
    for one, other in itertools.combinations(gradients, 2):
        norms = np.linalg.norm(one) * np.linalg.norm(other)
        cosines.append(one @ other / norms if norms else 0.0)
        products.append(one @ other)
    square = (gradients**2).sum(1).mean()
    assert found.cosine == pytest.approx(np.mean(cosines), abs=1e-9)
    assert found.product == pytest.approx(np.mean(products) / square if square else 0.0, abs=1e-9)
    assert found.records == len(gradients)


def test_equal_gradients_are_wholly_coherent_and_opposite_ones_not_at_all() -> None:
    one = torch.randn(50, generator=torch.Generator().manual_seed(0))
    same = gradient_coherence([one, 3 * one])
    assert same.cosine == pytest.approx(1)
    assert same.product == pytest.approx(3 / 5)
    assert gradient_coherence([one, -one]).cosine == pytest.approx(-1)


def test_independent_gradients_of_many_parameters_are_hardly_coherent() -> None:
    generator = torch.Generator().manual_seed(0)
    found = gradient_coherence(torch.randn(10_000, generator=generator) for _ in range(8))
    assert abs(found.cosine) < 0.01
    assert abs(found.product) < 0.01


def test_one_gradient_agrees_with_nobody() -> None:
    with pytest.raises(ValueError, match="expected two gradients or more, got 1"):
        gradient_coherence([torch.ones(3)])


def test_gradients_stand_side_by_side_and_unused_parameters_have_none() -> None:
    used, unused = torch.tensor([1.0, 2.0], requires_grad=True), torch.ones(2, 2, requires_grad=True)
    assert flat_gradient((used**2).sum(), [used, unused]).tolist() == [2, 4, 0, 0, 0, 0]
    assert used.grad is None
