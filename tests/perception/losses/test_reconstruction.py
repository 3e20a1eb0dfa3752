from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import KDTree

from perception.losses.reconstruction import chamfer_distance


@given(st.integers(0, 2**16), st.integers(1, 9), st.integers(1, 9))
def test_distances_are_those_of_a_search_tree(seed: int, points: int, others: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(3, points, 3)), rng.normal(size=(3, others, 3))
    expected = [
        (KDTree(b).query(a)[0] ** 2).mean() + (KDTree(a).query(b)[0] ** 2).mean()
        for a, b in zip(one, other, strict=True)
    ]
    found = chamfer_distance(torch.from_numpy(one), torch.from_numpy(other))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_order_of_points_does_not_matter_and_a_set_has_no_distance_to_itself() -> None:
    one, other = torch.randn(2, 6, 3), torch.randn(2, 6, 3)
    assert torch.equal(chamfer_distance(one, one[:, torch.randperm(6)]), torch.zeros(2))
    torch.testing.assert_close(chamfer_distance(one, other), chamfer_distance(other, one))
