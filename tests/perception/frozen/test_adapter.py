from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from perception.frozen.adapter import FrozenBlockAdapter, Kind, build_adapter
from perception.frozen.block import RMSNorm
from perception.frozen.folded import can_fold, fold
from perception.frozen.trained_state import trainable_state_dict
from perception.frozen.weights import WeightsError, load_blocks, write_slice
from perception.tokens import Readout, Tokens

DIM = 10
SOURCE = "random:16x24x4x2?seed=1"


def make_tokens(batch: int = 2, tokens: int = 6, dim: int = DIM) -> Tokens:
    values = torch.randn(batch, tokens, dim)
    valid = torch.rand(batch, tokens) < 0.7
    valid[:, 0] = True
    return Tokens(values, valid)


def weight(adapter: nn.Module, part: str) -> torch.Tensor:
    return adapter.get_parameter(f"{part}.weight")


def trainable(adapter: nn.Module) -> set[str]:
    return {name for name, parameter in adapter.named_parameters() if parameter.requires_grad}


def test_frozen_block_stays_bit_identical_while_encoder_and_projections_learn() -> None:
    torch.manual_seed(0)
    encoder, adapter = nn.Linear(4, DIM), build_adapter(DIM, source=SOURCE)
    model = nn.ModuleList([encoder, adapter])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    values = encoder(torch.randn(2, 6, 4))
    tokens = Tokens(values, torch.ones(2, 6, dtype=torch.bool))
    adapter(tokens, Readout.first(tokens)).square().sum().backward()
    assert encoder.weight.grad is not None
    assert encoder.weight.grad.abs().min() > 0
    optimizer.step()
    for name, value in model.state_dict().items():
        frozen = name.startswith(("1.blocks", "1.post_norm", "1.input_gain"))
        assert torch.equal(value, before[name]) is frozen, name


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"project_in.weight", "project_out.weight"}),
        ({"bias": True}, {"project_in.weight", "project_in.bias", "project_out.weight", "project_out.bias"}),
        ({"kind": "random"}, {"project_in.weight", "project_out.weight"}),
        (
            {"kind": "mlp"},
            {"project_in.weight", "project_out.weight", "blocks.0.norm.weight", "blocks.0.norm.bias"},
        ),
        (
            {"kind": "mlp", "bias": True},
            {
                f"{part}.{kind}"
                for part in ("project_in", "project_out", "blocks.0.norm")
                for kind in ("weight", "bias")
            },
        ),
        ({"kind": "none"}, set()),
    ],
)
def test_kinds_train_what_the_paper_trains(options: dict[str, Any], expected: set[str]) -> None:
    assert trainable(build_adapter(DIM, source=SOURCE, **options)) == expected


@pytest.mark.parametrize("kind", ["language", "random"])
def test_block_that_is_not_frozen_trains_but_its_post_norm_does_not(kind: Any) -> None:
    adapter = build_adapter(DIM, kind=kind, source=SOURCE, frozen=False)
    names = trainable(adapter)
    assert {f"blocks.0.{name}" for name in load_blocks(SOURCE).states[0]} <= names
    assert "post_norm.weight" not in names
    tokens = make_tokens()
    adapter(tokens).sum().backward()
    assert all(p.grad is not None for p in adapter.blocks.parameters())


def test_added_weights_are_two_projections() -> None:
    """2·d·D, the count in the paper's released code: 3,145,728 for ViT-S and LLaMA-7B."""
    adapter = build_adapter(DIM, source=SOURCE)
    assert sum(p.numel() for p in adapter.parameters() if p.requires_grad) == 2 * DIM * 16


@settings(deadline=None, max_examples=10)
@given(
    kind=st.sampled_from(["language", "random", "mlp", "none"]),
    rows=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    layers=st.sampled_from(["#0", "#0,1,2"]),
)
def test_read_rows_equal_the_gathered_full_output(kind: Any, rows: list[int], layers: str) -> None:
    adapter = build_adapter(DIM, kind=kind, source=SOURCE + layers)
    tokens, readout = make_tokens(), Readout(torch.tensor([rows, rows[::-1]]))
    torch.testing.assert_close(adapter(tokens, readout), readout.gather(adapter(tokens)))


def test_language_adapter_applies_its_parts_in_order() -> None:
    adapter = build_adapter(DIM, source=f"{SOURCE}#0,1")
    tokens, readout = make_tokens(), Readout(torch.tensor([[3], [1]]))
    first, second = load_blocks(f"{SOURCE}#0,1").build()
    x = tokens.values @ weight(adapter, "project_in").T
    x = second(first(x, tokens.valid), tokens.valid, readout)
    x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
    torch.testing.assert_close(adapter(tokens, readout), x @ weight(adapter, "project_out").T)


def test_none_returns_the_rows_unchanged() -> None:
    tokens = make_tokens()
    adapter = build_adapter(DIM, kind="none")
    assert torch.equal(adapter(tokens, Readout.first(tokens)), tokens.values[:, :1])
    assert (adapter.source, adapter.fingerprint) == (None, None)


def test_mlp_control_is_gelu_then_layer_norm() -> None:
    adapter = build_adapter(DIM, kind="mlp", source=SOURCE)
    tokens = make_tokens()
    hidden = nn.functional.gelu(tokens.values @ weight(adapter, "project_in").T)
    expected = nn.functional.layer_norm(hidden, (16,)) @ weight(adapter, "project_out").T
    torch.testing.assert_close(adapter(tokens), expected)


def test_post_norm_can_be_chosen(tmp_path: Any) -> None:
    loaded = load_blocks(SOURCE)
    loaded.final_norm["weight"] = torch.full((16,), 3.0)
    write_slice(loaded, tmp_path / "block.safetensors")
    source = str(tmp_path / "block.safetensors")
    unit, own = (build_adapter(DIM, source=source, post_norm=p) for p in ("unit_rms", "llm_final"))
    assert isinstance(unit.post_norm, RMSNorm)
    assert torch.equal(weight(unit, "post_norm"), torch.ones(16))
    own.load_state_dict(unit.state_dict() | {"post_norm.weight": weight(own, "post_norm")})
    tokens = make_tokens()
    torch.testing.assert_close(own(tokens), 3 * unit(tokens))
    assert isinstance(build_adapter(DIM, source=source, post_norm="none").post_norm, nn.Identity)
    with pytest.raises(WeightsError, match="has no final norm"):
        build_adapter(DIM, source=SOURCE, post_norm="llm_final")


def test_random_twin_has_the_sources_shape_and_other_weights() -> None:
    language = build_adapter(DIM, source=f"{SOURCE}#2")
    random, same, other = (build_adapter(DIM, kind="random", source=f"{SOURCE}#2", seed=s) for s in (5, 5, 6))
    shapes = {name: value.shape for name, value in language.state_dict().items()}
    assert {name: value.shape for name, value in random.state_dict().items()} == shapes
    assert random.fingerprint == same.fingerprint
    assert len({language.fingerprint, random.fingerprint, other.fingerprint}) == 3
    assert random.source == "random:16x24x4x2?seed=5#2"


def test_initial_projections_follow_the_recipe() -> None:
    torch.manual_seed(0)
    wide = "random:512x8x4"
    truncated = build_adapter(128, source=wide, bias=True)
    assert weight(truncated, "project_in").detach().std() == pytest.approx(0.02, rel=0.05)
    assert torch.equal(truncated.get_parameter("project_out.bias"), torch.zeros(128))
    default = build_adapter(128, source=wide, init="default")
    assert weight(default, "project_in").detach().abs().max() == pytest.approx(128**-0.5, rel=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_output_has_the_encoders_type(dtype: torch.dtype) -> None:
    adapter = build_adapter(DIM, source=SOURCE).to(dtype)
    tokens = make_tokens()
    assert adapter(Tokens(tokens.values.to(dtype), tokens.valid)).dtype is dtype


def test_autocast_gives_float32_rows_close_to_the_exact_ones() -> None:
    adapter = build_adapter(DIM, source=SOURCE)
    tokens = make_tokens()
    exact = adapter(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        rows = adapter(tokens)
        rows.sum().backward()
    assert rows.dtype is torch.float32
    assert weight(adapter, "project_in").grad is not None
    torch.testing.assert_close(rows, exact, rtol=0.05, atol=0.005)


def test_sample_without_valid_tokens_is_finite() -> None:
    adapter = build_adapter(DIM, source=SOURCE)
    tokens = make_tokens()
    tokens.valid[0] = False
    rows = adapter(tokens, Readout.first(tokens))
    rows.square().sum().backward()
    assert rows.isfinite().all()
    assert all(p.grad.isfinite().all() for p in adapter.parameters() if p.grad is not None)


def test_printed_adapter_shows_the_source_of_its_block() -> None:
    text = repr(build_adapter(DIM, source=SOURCE))
    assert "random:16x24x4x2?seed=1#0" in text
    assert isinstance(build_adapter(DIM, source=SOURCE), FrozenBlockAdapter)


def test_a_matched_input_is_as_large_as_what_the_block_adds_and_is_saved_with_the_projections() -> None:
    source = "random:32x48x4?seed=0"
    adapter = build_adapter(8, source=source, matched=True)
    assert adapter.input_gain == 1  # a random block adds little
    with torch.no_grad():
        weight(adapter, "blocks.0.o").mul_(300)
    adapter.match_residual(8)
    x = adapter.project_in(torch.randn(64, 64, 8))
    added = adapter.blocks[0](x, None) - x
    torch.testing.assert_close(adapter.input_gain * x.std(), added.std(), rtol=0.5, atol=0)
    assert adapter.input_gain > 1
    assert "input_gain" in trainable_state_dict(adapter)


def test_the_gain_is_applied_before_the_projection() -> None:
    adapter = build_adapter(8, source="random:32x48x4?seed=0")
    tokens = Tokens(torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool))
    larger = adapter(tokens.replace(3 * tokens.values))
    adapter.input_gain.fill_(3)
    torch.testing.assert_close(adapter(tokens), larger)


@pytest.mark.parametrize("kind", ["language", "random", "mlp"])
def test_with_a_residual_connection_training_starts_from_the_baseline(kind: Kind) -> None:
    adapter = build_adapter(8, kind=kind, source="random:32x48x4?seed=0", residual=True)
    tokens = Tokens(torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool))
    readout = Readout(torch.tensor([[4], [1]]))
    assert torch.equal(adapter(tokens, readout), readout.gather(tokens.values))
    with torch.no_grad():
        weight(adapter, "project_out").normal_()
    with_tokens = adapter(tokens, readout)
    adapter.residual = False
    torch.testing.assert_close(with_tokens - readout.gather(tokens.values), adapter(tokens, readout))


def test_the_default_block_has_smollm2s_shape() -> None:
    adapter = build_adapter(DIM, kind="random")
    assert (adapter.source, weight(adapter, "project_in").shape) == ("random:smollm2?seed=0#29", (576, DIM))


def test_a_block_for_training_only_is_passed_by_in_evaluation_and_by_a_coin_in_training() -> None:
    torch.manual_seed(0)
    adapter = build_adapter(8, source="random:16x24x2?seed=0", init="default", training_only=True)
    tokens = Tokens(torch.randn(40, 3, 8), torch.ones(40, 3, dtype=torch.bool))
    readout = Readout.first(tokens)
    assert torch.equal(adapter.eval()(tokens, readout), readout.gather(tokens.values))
    adapter.train()
    torch.manual_seed(1)
    mixed = adapter(tokens, readout)
    adapter.training_only = False
    through = adapter(tokens, readout)
    went_through = (mixed == through).all(-1).squeeze(1)
    went_past = (mixed == readout.gather(tokens.values)).all(-1).squeeze(1)
    assert (went_through ^ went_past).all()
    assert 8 < int(went_through.sum()) < 32
    adapter.training_only = True
    torch.manual_seed(1)
    assert torch.equal(adapter(tokens, readout), mixed)


def test_a_block_for_training_only_is_not_folded() -> None:
    adapter = build_adapter(8, source="random:16x24x2?seed=0", training_only=True)
    assert not can_fold(adapter)


@pytest.mark.parametrize("source", ["random:64x96x4x2?seed=1", "opt"])
@pytest.mark.parametrize("rows", [1, 6], ids=["one row", "all rows"])
@pytest.mark.parametrize("regime", ["absorbed", "folded", "full"])
def test_matrices_in_bfloat16_change_values_and_gradients_by_less_than_two_percent(
    source: str, rows: int, regime: Any, tmp_path: Path
) -> None:
    uri = write_small_opt(tmp_path) if source == "opt" else source
    wide, narrow = (seeded_adapter(uri, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert narrow.blocks[0].get_parameter("up.weight").dtype == torch.bfloat16
    assert narrow.fingerprint == wide.fingerprint
    torch.manual_seed(0)
    tokens, results = make_tokens(dim=32), []
    for adapter in (wide, narrow):
        adapter.regime = regime
        z = tokens.values.clone().requires_grad_()
        readout = Readout(torch.arange(rows).expand(2, -1))
        out = adapter(tokens.replace(z), readout)
        (out * torch.linspace(-1, 1, 32)).sum().backward()
        results.append([out, z.grad, adapter.project_in.weight.grad, adapter.project_out.weight.grad])
    for exact, rounded in zip(*results, strict=True):
        assert rounded.dtype == torch.float32
        assert (rounded - exact).norm() < 0.02 * exact.norm()


def seeded_adapter(uri: str, dtype: torch.dtype) -> FrozenBlockAdapter:
    torch.manual_seed(3)
    return build_adapter(32, source=uri, dtype=dtype, matched=True)


def write_small_opt(folder: Path) -> str:
    """A block of OPT's kind, whose layers have biases, in a sliced file."""
    from perception.frozen.block import BlockConfig
    from perception.frozen.weights import LoadedBlocks

    torch.manual_seed(5)
    config = BlockConfig("opt", 64, 4, 4, 96, 1e-5)
    state = {name: value.detach() for name, value in config.build().state_dict().items()}
    path = folder / "opt.safetensors"
    write_slice(LoadedBlocks(config, (state,), (0,), 1, {}, "made", "float32"), path)
    return str(path)


def test_a_block_in_bfloat16_can_be_folded_for_service() -> None:
    narrow = seeded_adapter(SOURCE, torch.bfloat16).eval()
    tokens = make_tokens(dim=32)
    with torch.no_grad():
        expected = narrow(tokens)
    torch.testing.assert_close(fold(narrow)(tokens), expected, rtol=0, atol=0.02 * float(expected.abs().max()))
