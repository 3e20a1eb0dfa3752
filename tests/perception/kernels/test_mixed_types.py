from __future__ import annotations

import pytest
import torch
from torch import Tensor

from perception.kernels import mixed_types
from perception.kernels.mixed_types import mixed_product


def factors() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(5, 40, requires_grad=True), torch.randn(40, 30)


@pytest.mark.parametrize(("has_products", "tolerance"), [(True, 2e-2), (False, 1e-5)])
def test_values_and_gradients_of_two_types_are_those_of_the_rounded_weight(
    has_products: bool, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixed_types, "has_bfloat16_products", lambda _: has_products)
    x, weight = factors()
    narrow = weight.bfloat16()
    mine, theirs = mixed_product(x, narrow), x @ narrow.float()
    assert mine.dtype == torch.float32
    torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance * float(theirs.detach().abs().max()))
    given = torch.randn_like(theirs)
    (grad,), (expected,) = (torch.autograd.grad(y, x, given) for y in (mine, theirs))
    assert grad.dtype == torch.float32
    torch.testing.assert_close(grad, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def test_either_factor_may_be_the_narrow_one_and_the_trained_one() -> None:
    x, weight = factors()
    (mixed_product(weight.mT.bfloat16(), x.mT)).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, weight.sum(1).expand(5, -1), rtol=2e-2, atol=2e-2)


def test_one_type_is_multiplied_exactly() -> None:
    x, weight = factors()
    assert torch.equal(mixed_product(x.double(), weight.double()), x.double() @ weight.double())


def test_autocast_chooses_the_type_itself() -> None:
    x, weight = factors()
    with torch.autocast("cpu", torch.bfloat16):
        assert mixed_product(x, weight.bfloat16()).dtype == torch.bfloat16
