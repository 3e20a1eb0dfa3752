from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from perception.kernels import products
from perception.kernels.products import rows_times


@pytest.mark.parametrize("few", [0, 1024])
@settings(deadline=None, max_examples=25)
@given(
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    strided=st.booleans(),
    sizes=st.tuples(*[st.integers(1, 5)] * 2),
)
def test_values_and_gradients_are_those_of_a_linear_layer(
    few: int, shape: list[int], strided: bool, sizes: tuple[int, int]
) -> None:
    x = torch.randn(*shape, sizes[0], dtype=torch.float64)
    x = (x.mT.contiguous().mT if strided else x).requires_grad_()
    weight = torch.randn(sizes[1], sizes[0], dtype=torch.float64, requires_grad=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "FEW_ROWS", few)
        ours = rows_times(x, weight)
    theirs = F.linear(x, weight)
    torch.testing.assert_close(ours, theirs)
    given = torch.randn_like(theirs)
    for mine, other in zip(
        torch.autograd.grad(ours, (x, weight), given), torch.autograd.grad(theirs, (x, weight), given), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_few_rows_are_multiplied_from_the_left_where_the_weight_is_trained() -> None:
    weight = torch.randn(3, 2, requires_grad=True)
    assert rows_times(torch.randn(5, 2), weight).stride() == (1, 5)
    assert rows_times(torch.randn(products.FEW_ROWS + 1, 2), weight).stride() == (3, 1)
