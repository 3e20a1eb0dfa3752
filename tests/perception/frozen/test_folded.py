from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from perception.errors import InputError
from perception.frozen import folded as folded_module
from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.block import EVERY_ROW, BlockConfig, RMSNorm
from perception.frozen.folded import fold
from perception.tokens import Readout, Tokens

LLAMA = BlockConfig("llama", 32, 8, 2, 48, 1e-5)
OPT = BlockConfig("opt", 32, 4, 4, 48, 1e-5)
POST_LN = BlockConfig("opt", 32, 4, 4, 48, 1e-5, pre_norm=False)


def make_adapter(
    config: BlockConfig = LLAMA, *, dim: int = 6, bias: bool = False, post_norm: str = "unit", residual: bool = False
) -> FrozenBlockAdapter:
    """An adapter in which all weights are random."""
    norms = {"unit": RMSNorm(32, 1e-6), "final": nn.LayerNorm(32), "none": nn.Identity()}
    adapter = FrozenBlockAdapter(
        nn.Linear(dim, 32, bias), [config.build()], norms[post_norm], nn.Linear(32, dim, bias), residual=residual
    )
    for parameter in adapter.parameters():
        nn.init.normal_(parameter, std=0.3)
    adapter.input_gain.fill_(1.7)
    return adapter.requires_grad_(False)


def make_tokens(batch: int = 2, tokens: int = 7, dim: int = 6) -> Tokens:
    return Tokens(torch.randn(batch, tokens, dim), torch.rand(batch, tokens) < 0.7)


def relative_error(value: Tensor, truth: Tensor) -> float:
    return ((value - truth).norm() / truth.norm()).item()


@settings(deadline=None, max_examples=30)
@given(
    config=st.sampled_from([LLAMA, OPT, POST_LN]),
    bias=st.booleans(),
    residual=st.booleans(),
    post_norm=st.sampled_from(["unit", "final", "none"]),
    rows=st.sampled_from([None, 1, 3, 9]),
    seed=st.integers(0, 99),
)
def test_the_folded_form_gives_the_adapters_values(
    config: BlockConfig, bias: bool, residual: bool, post_norm: str, rows: int | None, seed: int
):
    torch.manual_seed(seed)
    adapter = make_adapter(config, bias=bias, post_norm=post_norm, residual=residual)
    tokens = make_tokens()
    readout = EVERY_ROW if rows is None else Readout(torch.randint(7, (2, rows)))
    assert relative_error(fold(adapter)(tokens, readout), adapter(tokens, readout)) < 2e-5


@pytest.mark.parametrize("rows", [1, 40])
def test_latents_and_folded_keys_give_the_same(rows: int, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    attention = fold(make_adapter()).attention
    tokens, readout = make_tokens(tokens=40), Readout(torch.randint(40, (2, rows)))
    assert attention.absorbs(40, rows) == (rows == 1)
    _, chosen = attention(tokens, readout)
    monkeypatch.setattr(attention, "absorbs", lambda *_: rows != 1)
    _, other = attention(tokens, readout)
    torch.testing.assert_close(chosen, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("precision", "error"), [("bfloat16", 0.01), ("int8", 0.03), ("int8_dynamic", 0.1)])
def test_narrow_weights_stay_close_and_are_narrow(precision, error: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(folded_module, "has_bfloat16_products", lambda _: False)  # the same on every processor
    torch.manual_seed(0)
    adapter = build_adapter(16, source="random:128x344x4?seed=1").requires_grad_(False)
    for parameter in adapter.parameters():
        parameter *= 3  # so that the block adds much
    folded = fold(adapter, precision)
    tokens, readout = make_tokens(4, 20, 16), Readout(torch.randint(20, (4, 12)))
    assert 0 < relative_error(folded(tokens, readout), adapter(tokens, readout)) < error
    size = sum(value.nbytes for value in folded.tail.state_dict().values())
    whole = sum(value.nbytes for value in fold(adapter).tail.state_dict().values())
    assert size < whole * (0.51 if precision == "bfloat16" else 0.28)


def test_attention_is_bfloat16_on_a_device_with_bfloat16_products(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(folded_module, "has_bfloat16_products", lambda _: True)
    torch.manual_seed(0)
    adapter, tokens = build_adapter(16, source="random:128x344x4?seed=1"), make_tokens(4, 20, 16)
    folded = fold(adapter, "bfloat16")
    assert folded.attention.k.dtype == torch.bfloat16
    assert 0 < relative_error(folded(tokens), adapter(tokens)) < 0.03


def test_pipelines_share_one_tail():
    torch.manual_seed(0)
    first = build_adapter(16, source="random:128x344x4?seed=1")
    second = build_adapter(24, source="random:128x344x4?seed=1")
    folded = fold(first)
    other = fold(second, tail=folded.tail)
    assert other.tail is folded.tail
    tokens = make_tokens(dim=24)
    assert relative_error(other(tokens), second(tokens)) < 2e-5


def test_a_tail_of_another_block_is_refused():
    tail = fold(build_adapter(16, source="random:128x344x4?seed=1")).tail
    with pytest.raises(InputError, match="same weights"):
        fold(build_adapter(16, source="random:128x344x4?seed=2"), tail=tail)


@pytest.mark.parametrize("kind", ["none", "mlp"])
def test_an_adapter_without_a_language_block_cannot_be_folded(kind):
    with pytest.raises(InputError, match="one language block"):
        fold(build_adapter(16, kind=kind, source="random:128x344x4"))


def test_a_sample_without_valid_tokens_stays_finite():
    folded = fold(make_adapter())
    tokens = Tokens(torch.randn(2, 5, 6), torch.zeros(2, 5, dtype=torch.bool))
    assert folded(tokens).isfinite().all()


def test_folding_does_not_change_the_adapter():
    adapter = make_adapter()
    before = {name: value.clone() for name, value in adapter.state_dict().items()}
    fold(adapter, "int8")
    assert all(torch.equal(value, before[name]) for name, value in adapter.state_dict().items())
