from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.block import BlockConfig, LlamaBlock, OptBlock
from perception.frozen.stages import (
    attention_weights,
    block_attention,
    block_stages,
    expect_adapter,
    noted_inputs,
)
from perception.tokens import Readout, Tokens

OPT = BlockConfig("opt", 32, 4, 4, 48, 1e-5)
POST_NORM = BlockConfig("opt", 32, 4, 4, 48, 1e-5, pre_norm=False)


def adapter(source: str = "random:32x48x4x2?seed=0", block: BlockConfig | None = None, **options: Any) -> Any:
    torch.manual_seed(0)
    made = build_adapter(24, **{"source": source, "init": "default", **options})
    if block is not None:
        made.blocks[-1] = block.build()
    for weight in made.project_out.parameters():  # zero at first, where there is a residual connection
        torch.nn.init.normal_(weight, std=0.1)
    return made


def tokens() -> Tokens:
    values = torch.randn(3, 7, 24, generator=torch.Generator().manual_seed(1))
    valid = torch.ones(3, 7, dtype=torch.bool)
    valid[1, 4:] = False
    return Tokens(values, valid)


def outputs_by_hooks(made: FrozenBlockAdapter, given: Tokens) -> dict[str, Tensor]:
    """What the modules give while the adapter itself runs, plainly."""
    found: dict[str, Tensor] = {}
    made.regime = "full"
    named = {"project_in": made.project_in, "feed_forward": made.blocks[-1], "project_out": made.project_out}
    for name, module in named.items():
        module.register_forward_hook(lambda _, __, output, name=name: found.update({name: output}))
    found["output"] = made(given)
    return found


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("block", [None, OPT, POST_NORM], ids=["llama", "opt", "opt-350m"])
def test_stages_are_what_the_parts_give_while_the_adapter_runs(block: BlockConfig | None, residual: bool) -> None:
    made, given = adapter(block=block, residual=residual, matched=True), tokens()
    stages = block_stages(made, given)
    expected = outputs_by_hooks(made, given)
    assert stages.encoder is given.values
    for name, value in expected.items():
        torch.testing.assert_close(getattr(stages, name), value, msg=name)
    assert stages.attention is not None
    last = made.blocks[-1]
    assert isinstance(last, LlamaBlock | OptBlock)
    torch.testing.assert_close(last.finish(stages.attention), stages.feed_forward)


@pytest.mark.parametrize("regime", ["absorbed", "folded", "full", None])
def test_the_fast_readout_gives_the_rows_of_the_last_stage(regime: Any) -> None:
    made, given = adapter(), tokens()
    made.regime = regime
    rows = Readout(torch.tensor([[0, 3], [2, 0], [6, 6]]))
    torch.testing.assert_close(rows.gather(block_stages(made, given).output), made(given, rows), rtol=1e-5, atol=1e-5)


def test_of_several_blocks_the_last_one_has_the_stages() -> None:
    made, given = adapter(), tokens()
    made.blocks.append(adapter("random:32x48x4?seed=5").blocks[0])
    stages = block_stages(made, given)
    assert stages.project_in is not None
    between = made.blocks[0](stages.project_in, given.valid)
    torch.testing.assert_close(stages.feed_forward, made.blocks[1](between, given.valid))
    torch.testing.assert_close(stages.output, made(given), rtol=1e-5, atol=1e-5)
    weights = block_attention(made, given, Readout.first(given))
    assert weights is not None
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4, 1))


def test_parts_can_be_what_they_add_or_normed() -> None:
    made, given = adapter(), tokens()
    whole, added, normed = (block_stages(made, given, inside) for inside in ("sum", "added", "normed"))
    assert whole.project_in is not None
    assert whole.attention is not None
    assert added.attention is not None
    assert added.feed_forward is not None
    torch.testing.assert_close(whole.project_in + added.attention, whole.attention)
    torch.testing.assert_close(whole.attention + added.feed_forward, whole.feed_forward)
    torch.testing.assert_close(normed.feed_forward, made.post_norm(whole.feed_forward))
    for other in (added, normed):
        assert torch.equal(whole.output, other.output)


def test_controls_have_the_stages_that_they_have() -> None:
    given = tokens()
    assert list(block_stages(adapter(kind="none"), given).named()) == ["encoder"]
    assert list(block_stages(adapter(kind="mlp"), given).named()) == ["encoder", "project_in", "project_out"]
    assert list(block_stages(adapter(), given).named()) == [
        "encoder",
        "project_in",
        "attention",
        "feed_forward",
        "project_out",
    ]
    assert list(block_stages(adapter(residual=True), given).named())[-2:] == ["project_out", "output"]
    made = adapter(kind="mlp")
    torch.testing.assert_close(block_stages(made, given).output, made(given))
    assert block_attention(made, given, Readout.first(given)) is None


def test_a_block_for_training_only_has_stages_and_gives_the_tokens() -> None:
    made, given = adapter(training_only=True).eval(), tokens()
    stages = block_stages(made, given)
    assert stages.output is given.values
    assert "output" not in stages.named()
    torch.testing.assert_close(stages.project_out, block_stages(adapter(), given).project_out)


def test_attention_is_what_the_block_weighs_values_by() -> None:
    made, given = adapter(), tokens()
    block = made.blocks[0]
    assert isinstance(block, LlamaBlock)
    stages, readout = block_stages(made, given, "added"), Readout(torch.tensor([[1], [2], [5]]))
    weights = block_attention(made, given, readout)
    assert stages.project_in is not None
    assert weights is not None
    assert not weights[1, :, :, 4:].any()  # padding
    values = block.v(block.attention_norm(stages.project_in)).unflatten(-1, (2, 1, 8)).expand(-1, -1, 2, 2, -1)
    gathered = torch.einsum("bhrt,bthe->brhe", weights, values.flatten(2, 3)).flatten(2)
    assert stages.attention is not None
    torch.testing.assert_close(block.o(gathered), readout.gather(stages.attention))


def test_a_record_without_valid_tokens_is_looked_at_nowhere() -> None:
    given = Tokens(torch.randn(1, 3, 8), torch.zeros(1, 3, dtype=torch.bool))
    assert not attention_weights(torch.randn(1, 1, 8), given.values, 2, 2, given).any()


def test_a_model_that_nobody_looks_at_has_no_hooks_and_gives_the_same_bits() -> None:
    made, given = adapter(), tokens()
    alone = made(given)
    with noted_inputs(made) as noted:
        assert torch.equal(made(given), alone)
        assert noted == [given]
    block_stages(made, given)
    with pytest.raises(RuntimeError, match="stop"), noted_inputs(made):
        raise RuntimeError("stop")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in made.modules())
    assert torch.equal(made(given), alone)
    assert made.regime is None
    made(given)
    assert noted == [given]


def test_looking_needs_no_graph() -> None:
    made, given = adapter(), tokens()
    assert all(not value.requires_grad for value in block_stages(made, given).named().values())
    assert made(given).requires_grad


def test_only_a_model_as_it_was_trained_has_stages() -> None:
    with pytest.raises(ValueError, match="got one around Linear"):
        expect_adapter(torch.nn.Linear(2, 2))
