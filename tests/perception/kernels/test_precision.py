from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from perception.kernels import precision as precision_module
from perception.kernels.precision import (
    Bfloat16Linear,
    DynamicInt8Linear,
    Float32Linear,
    Int8Linear,
    Precision,
    quantize,
    with_precision,
)


def relative_error(value: Tensor, truth: Tensor) -> float:
    return ((value - truth).norm() / truth.norm()).item()


def make_linear(in_dim: int = 96, out_dim: int = 300, bias: bool = False) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(in_dim, out_dim, bias).requires_grad_(False)


@settings(deadline=None, max_examples=30)
@given(
    precision=st.sampled_from(["float32", "bfloat16", "int8", "int8_dynamic"]),
    rows=st.sampled_from([(1,), (5,), (2, 3), (40,)]),
    bias=st.booleans(),
)
def test_every_precision_gives_about_the_layers_values(precision, rows: tuple[int, ...], bias: bool):
    linear, x = make_linear(bias=bias), torch.randn(*rows, 96)
    out = with_precision(linear, precision)(x)
    assert out.dtype == torch.float32
    assert out.shape == (*rows, 300)
    assert (
        relative_error(out, linear(x))
        < {"float32": 1e-6, "bfloat16": 5e-3, "int8": 1e-2, "int8_dynamic": 4e-2}[precision]
    )


@pytest.mark.parametrize(
    ("precision", "kind"),
    [
        ("float32", Float32Linear),
        ("bfloat16", Bfloat16Linear),
        ("int8", Int8Linear),
        ("int8_dynamic", DynamicInt8Linear),
    ],
)
def test_each_precision_has_its_layer(precision: Precision, kind: type[nn.Module]):
    assert type(with_precision(make_linear(), precision)) is kind


def test_int8_is_off_by_at_most_half_a_step():
    weight = torch.randn(7, 33)
    values, scale = quantize(weight)
    assert values.abs().max() == 127
    assert ((values * scale.unsqueeze(1) - weight).abs() <= scale.unsqueeze(1) * 0.5001).all()


def test_an_output_without_weights_stays_zero():
    linear = make_linear()
    linear.weight[3] = 0
    for precision in ("int8", "int8_dynamic"):
        assert (with_precision(linear, precision)(torch.randn(12, 96))[:, 3] == 0).all()


def test_widening_gives_the_products_of_the_narrow_weights_exactly():
    linear, x = make_linear(out_dim=600), torch.randn(20, 96)
    narrow = Bfloat16Linear(linear.weight.bfloat16(), None)
    if precision_module.has_bfloat16_products(x.device):
        pytest.skip("this processor multiplies bfloat16 itself")
    torch.testing.assert_close(narrow(x), x @ linear.weight.bfloat16().float().T, rtol=1e-5, atol=1e-6)


def test_bfloat16_products_are_used_where_the_device_has_them(monkeypatch: pytest.MonkeyPatch):
    linear, x = make_linear(bias=True), torch.randn(4, 96)
    monkeypatch.setattr(precision_module, "has_bfloat16_products", lambda _: True)
    out = with_precision(linear, "bfloat16")(x)
    assert relative_error(out, linear(x)) < 1e-2


def test_kernels_for_few_and_for_many_rows_agree():
    linear = with_precision(make_linear(), "int8")
    x = torch.randn(precision_module.FEW_ROWS + 1, 96)
    assert relative_error(torch.stack([linear(row.unsqueeze(0))[0] for row in x]), linear(x)) < 1e-2


def test_activations_get_seven_bits_where_sums_could_overflow(monkeypatch: pytest.MonkeyPatch):
    """Sums of the largest activation times the largest weight would saturate 16 bits."""
    linear = make_linear()
    linear.weight.fill_(1.0)
    x = torch.ones(2, 96)
    monkeypatch.setattr(precision_module, "has_vnni", lambda: False)
    assert relative_error(with_precision(linear, "int8_dynamic")(x), linear(x)) < 1e-2


@pytest.mark.skipif(not precision_module.has_vnni(), reason="this processor sums int8 products in 16 bits")
def test_activations_get_eight_bits_where_sums_cannot_overflow(monkeypatch: pytest.MonkeyPatch):
    linear, x = make_linear(), torch.randn(64, 96)
    linear.weight.copy_(torch.sign(linear.weight))  # exact in int8, and sums of two products stay within 16 bits
    errors = {}
    for has_vnni in (True, False):
        monkeypatch.setattr(precision_module, "has_vnni", lambda found=has_vnni: found)
        errors[has_vnni] = relative_error(with_precision(linear, "int8_dynamic")(x), linear(x))
    assert errors[True] < 0.7 * errors[False]


def test_weights_are_not_copied():
    weight = torch.randn(8, 16)
    whole = with_precision(_holding(weight), "float32")
    assert isinstance(whole, Float32Linear)
    assert whole.weight.data_ptr() == weight.data_ptr()
    narrow, scale = quantize(weight)
    assert Int8Linear(narrow, scale, None).weight.data_ptr() == narrow.data_ptr()


def test_a_packed_layer_can_be_copied():
    linear, x = make_linear(), torch.randn(3, 96)
    dynamic = with_precision(linear, "int8_dynamic")
    assert isinstance(dynamic, DynamicInt8Linear)
    first = dynamic(x)
    assert torch.equal(copy.deepcopy(dynamic)(x), first)


def _holding(weight: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False).requires_grad_(False)
    linear.load_state_dict({"weight": weight}, assign=True)
    return linear


@pytest.mark.parametrize("width", [32, 40, 344])
@pytest.mark.parametrize("offset", [0, 8])
def test_int8_weights_may_have_any_address_and_width(width: int, offset: int):
    """With AVX-512, PyTorch's kernel for few rows crashes or gives wrong values for unsupported weights."""
    torch.manual_seed(0)
    memory = torch.randint(-127, 128, (24 * width + 64,), dtype=torch.int8)
    weight, scale = memory[offset : offset + 24 * width].view(24, width), torch.rand(24)
    layer = Int8Linear(weight, scale, None)
    x = torch.randn(3, width)
    expected = (x @ weight.float().mT) * scale
    assert (layer(x) - expected).norm() < 0.02 * expected.norm()
