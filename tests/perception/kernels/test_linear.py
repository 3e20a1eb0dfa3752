"""Inference kernels, compared with PyTorch's linear layer."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from perception.kernels.linear import (
    FEW_ROWS,
    FastLinear,
    InferenceLinear,
    fast_linear,
    for_inference,
    inference_linear,
    inference_linear_gelu,
    suits_onednn,
    with_linears,
)
from perception.kernels.products import rows_times

few = settings(deadline=None, max_examples=40)
has_onednn = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.backends.mkldnn.is_available()


@few
@given(
    lead=st.lists(st.integers(0, 40), min_size=0, max_size=2),
    sizes=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    bias=st.booleans(),
    turned=st.booleans(),
)
def test_values_are_those_of_linear_for_every_number_of_rows(lead, sizes, bias, turned) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(*lead, sizes[0]), torch.randn(sizes[1], sizes[0])
    if turned and len(lead) == 2:
        x = x.transpose(0, 1)  # rows that are not contiguous
    added = torch.randn(sizes[1]) if bias else None
    with torch.inference_mode():
        out = inference_linear(x, weight, added)
    expected = F.linear(x.double(), weight.double(), None if added is None else added.double())
    assert out.shape == expected.shape
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-4)


def test_many_rows_and_unaligned_weights_give_the_same_values() -> None:
    x, held = torch.randn(FEW_ROWS + 1, 8), torch.randn(4 * 8 + 1)
    weight = held[1:].view(4, 8)  # at an address that is no multiple of 64, as a file's may be
    with torch.no_grad():
        torch.testing.assert_close(inference_linear(x, weight), F.linear(x, weight), rtol=1e-5, atol=1e-5)


def test_layers_are_differentiable_if_gradients_are_enabled() -> None:
    layer = for_inference(nn.Linear(3, 2))
    layer(torch.randn(4, 3)).sum().backward()
    assert layer.weight.grad is not None


def test_autocast_is_obeyed() -> None:
    layer = for_inference(nn.Linear(3, 2))
    x, weight = torch.randn(4, 3), layer.weight.detach()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert not suits_onednn(x, weight)
        assert layer(x).dtype == rows_times(x, weight).dtype == torch.bfloat16


def test_shapes_that_do_not_fit_are_left_to_pytorchs_error() -> None:
    with torch.no_grad():
        assert not suits_onednn(torch.randn(4, 3), torch.randn(5, 8))


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_other_types_use_pytorchs_kernel(kind: torch.dtype) -> None:
    x, weight = torch.randn(5, 3, dtype=kind), torch.randn(2, 3, dtype=kind)
    with torch.no_grad():
        assert not suits_onednn(x, weight)
        assert torch.equal(inference_linear(x, weight), F.linear(x, weight))


@pytest.mark.skipif(not has_onednn, reason="this processor has no AVX-512, or this PyTorch no oneDNN")
def test_the_fast_kernel_is_used_if_the_processor_has_it() -> None:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile, torch.no_grad():
        for_inference(nn.Linear(3, 2))(torch.randn(4, 3))
    assert "mkldnn::_linear_pointwise" in {event.key for event in profile.key_averages()}


def test_without_avx512_pytorchs_kernel_is_used() -> None:
    """The capability is set for a new process, since PyTorch reads it when it starts."""
    code = (
        "import torch; from perception.kernels.linear import *; torch.set_grad_enabled(False)\n"
        "x, layer = torch.randn(4, 3), nn.Linear(3, 2)\n"
        "assert not suits_onednn(x, layer.weight)\n"
        "assert torch.equal(for_inference(layer)(x), layer(x))"
    )
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


@few
@given(
    lead=st.lists(st.integers(0, 40), min_size=1, max_size=2),
    sizes=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    seed=st.integers(0, 99),
)
def test_a_frozen_products_values_and_gradients_are_those_of_a_linear_layer(lead, sizes, seed) -> None:
    torch.manual_seed(seed)
    x, weight = torch.randn(*lead, sizes[0], requires_grad=True), torch.randn(sizes[1], sizes[0])
    given_grad = torch.randn(*lead, sizes[1])
    ours, theirs = rows_times(x, weight), F.linear(x.double(), weight.double())
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-4)
    (mine,) = torch.autograd.grad(ours, x, given_grad)
    (other,) = torch.autograd.grad(theirs, x, given_grad.double())
    torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not has_onednn, reason="this processor has no AVX-512, or this PyTorch no oneDNN")
def test_a_frozen_product_uses_the_fast_kernel_forward_and_backward_and_a_trained_one_does_not() -> None:
    def products_of(weight: Tensor) -> int:
        x = torch.randn(4, 3, requires_grad=True)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            rows_times(x, weight).sum().backward()
        return sum(event.count for event in profile.key_averages() if event.key == "mkldnn::_linear_pointwise")

    assert products_of(torch.randn(2, 3)) == 2
    assert products_of(torch.randn(2, 3, requires_grad=True)) == 0


def test_a_frozen_product_refuses_to_be_differentiated_twice() -> None:
    x, weight = torch.randn(4, 3, requires_grad=True), torch.randn(2, 3)
    if suits_onednn(x, weight):
        (grad,) = torch.autograd.grad(fast_linear(x, weight).square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            grad.sum().backward()


@few
@given(
    lead=st.lists(st.integers(0, 40), min_size=1, max_size=2),
    sizes=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    has_bias=st.booleans(),
    wanted=st.sets(st.integers(0, 2), min_size=1),
)
def test_a_fast_layers_values_and_all_its_gradients_are_those_of_a_linear_layer(lead, sizes, has_bias, wanted) -> None:
    torch.manual_seed(0)
    fast, x = FastLinear(*sizes, bias=has_bias), torch.randn(*lead, sizes[0])
    plain = nn.Linear(*sizes, bias=has_bias).double()
    plain.load_state_dict(fast.state_dict())
    given_grad = torch.randn(*lead, sizes[1])
    grads = []
    for layer, values in ((fast, x), (plain, x.double())):
        leaves = [values.clone(), layer.weight, *([layer.bias] if has_bias else [])]
        for index, leaf in enumerate(leaves):
            leaf.requires_grad_(index in wanted)
        out = layer(leaves[0])
        asked = [leaf for leaf in leaves if leaf.requires_grad]
        grads.append([out, *(torch.autograd.grad(out, asked, given_grad.to(out.dtype)) if asked else ())])
    for mine, other in zip(*grads, strict=True):
        torch.testing.assert_close(mine.double(), other, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not has_onednn, reason="this processor has no AVX-512, or this PyTorch no oneDNN")
def test_a_fast_layer_uses_the_fast_kernel_forward_and_for_the_gradient_of_its_input() -> None:
    x = torch.randn(4, 3, requires_grad=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        FastLinear(3, 2)(x).sum().backward()
    assert sum(event.count for event in profile.key_averages() if event.key == "mkldnn::_linear_pointwise") == 2


def test_gradients_of_each_sample_can_be_taken_by_torch_func() -> None:
    layer, x = FastLinear(3, 2), torch.randn(5, 3)
    weights = {name: value.detach() for name, value in layer.named_parameters()}

    def loss(values, sample):
        return torch.func.functional_call(layer, values, (sample,)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, x)
    for index, sample in enumerate(x):
        (expected,) = torch.autograd.grad(layer(sample).square().sum(), layer.weight)
        torch.testing.assert_close(each["weight"][index], expected)


def test_linear_layers_can_be_made_pytorchs_again() -> None:
    module = for_inference(Nested())
    assert type(with_linears(module, nn.Linear).first) is nn.Linear
    assert isinstance(module.first, InferenceLinear)


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.rest = nn.Sequential(nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
        self.register_module("none", None)

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.first(x))


def test_an_inference_module_shares_the_weights_of_an_unchanged_module() -> None:
    module = Nested().eval()
    made = for_inference(module)
    assert type(module.first) is nn.Linear
    assert isinstance(made.first, InferenceLinear)
    assert isinstance(made.rest[2], InferenceLinear)
    mine, theirs = dict(made.state_dict(keep_vars=True)), dict(module.state_dict(keep_vars=True))
    assert mine.keys() == theirs.keys()
    assert all(mine[name] is theirs[name] for name in mine)
    made.train()
    made.add_module("first", nn.Identity())
    assert not module.rest.training
    assert isinstance(module.first, nn.Linear)
    x = torch.randn(5, 3)
    with torch.no_grad():
        torch.testing.assert_close(for_inference(module)(x), module(x))


@few
@given(lead=st.lists(st.integers(0, 40), min_size=0, max_size=2), sizes=st.tuples(*[st.integers(1, 70)] * 2))
def test_linear_and_gelu_in_one_kernel_have_the_values_of_both(lead, sizes) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(*lead, sizes[0]), torch.randn(sizes[1], sizes[0]), torch.randn(sizes[1])
    expected = F.gelu(F.linear(x, weight, bias))
    with torch.inference_mode():
        torch.testing.assert_close(inference_linear_gelu(x, weight, bias), expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(inference_linear_gelu(x, weight, bias), expected, rtol=1e-5, atol=1e-4)


def test_linear_and_gelu_keep_gradients_other_types_and_autocast() -> None:
    x, weight, bias = torch.randn(3, 8, requires_grad=True), torch.randn(4, 8), torch.randn(4)
    mine, theirs = (torch.autograd.grad(y.sum(), x)[0] for y in (
        inference_linear_gelu(x, weight, bias), F.gelu(F.linear(x, weight, bias))
    ))  # fmt: skip
    torch.testing.assert_close(mine, theirs)
    with torch.inference_mode():
        doubled = inference_linear_gelu(x.double(), weight.double(), bias.double())
        torch.testing.assert_close(doubled, F.gelu(F.linear(x.double(), weight.double(), bias.double())))
        with torch.autocast("cpu", torch.bfloat16):
            assert inference_linear_gelu(x, weight, bias).dtype == torch.bfloat16
