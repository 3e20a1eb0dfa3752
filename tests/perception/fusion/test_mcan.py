"""MCAN's layers: parity with PyTorch's layers, and invariance to padding and order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from perception.fusion.mcan import AttentionPool, FusionLayer, GuidedAttention, SceneTextFusion
from perception.tokens import Tokens


def random_tokens(batch: int, count: int, dim: int, seed: int = 0) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    valid = torch.rand(batch, count, generator=generator) < 0.6
    valid[:, 0] = True
    return Tokens(torch.randn(batch, count, dim, generator=generator), valid)


def shortened(tokens: Tokens, row: int) -> Tokens:
    """Returns one entry of a batch without its padding."""
    return Tokens(tokens.values[row : row + 1, tokens.valid[row]], torch.ones(1, int(tokens.valid[row].sum())).bool())


@torch.no_grad()
def give_weights(theirs: nn.Module, ours: GuidedAttention) -> None:
    """Copies our weights to PyTorch's attention."""
    assert isinstance(theirs, nn.MultiheadAttention)
    theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
    theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
    theirs.out_proj.load_state_dict(ours.out.state_dict())


def test_guided_attention_equals_pytorchs_multi_head_attention() -> None:
    ours, theirs = GuidedAttention(8, 2, 0.5).double().eval(), nn.MultiheadAttention(8, 2, batch_first=True).double()
    give_weights(theirs, ours)
    x, guide = torch.randn(3, 4, 8).double(), random_tokens(3, 5, 8)
    guide = guide.replace(guide.values.double())
    expected, _ = theirs(x, guide.values, guide.values, key_padding_mask=~guide.valid, need_weights=False)
    torch.testing.assert_close(ours(x, guide), expected, rtol=0, atol=1e-12)


def test_layers_equal_pytorchs_post_norm_encoder_and_decoder_layers() -> None:
    tokens, guide = random_tokens(2, 5, 8), random_tokens(2, 3, 8, seed=1)
    options = {"activation": "gelu", "batch_first": True, "dropout": 0.0}
    for guided, theirs in (
        (False, nn.TransformerEncoderLayer(8, 2, 32, **options)),
        (True, nn.TransformerDecoderLayer(8, 2, 32, **options)),
    ):
        ours = FusionLayer(8, 2, 0.1, guided=guided).eval()
        give_weights(theirs.self_attn, ours.attend)
        if ours.follow is not None:
            give_weights(theirs.get_submodule("multihead_attn"), ours.follow)
        theirs.linear1.load_state_dict(ours.feed[0].state_dict())
        theirs.linear2.load_state_dict(ours.feed[3].state_dict())
        if isinstance(theirs, nn.TransformerDecoderLayer):
            masks = {"tgt_key_padding_mask": ~tokens.valid, "memory_key_padding_mask": ~guide.valid}
            expected = theirs(tokens.values, guide.values, **masks)
        else:
            expected = theirs(tokens.values, src_key_padding_mask=~tokens.valid)
        torch.testing.assert_close(ours(tokens, guide).values, expected)


def test_padding_of_any_input_changes_nothing() -> None:
    fusion = SceneTextFusion(8, heads=2).eval()
    objects, situation, question = (random_tokens(2, count, 8, seed=count) for count in (7, 5, 4))
    together = fusion.guide(objects, *fusion.read(situation, question))
    for row in range(2):
        alone = fusion.guide(shortened(objects, row), *fusion.read(shortened(situation, row), shortened(question, row)))
        torch.testing.assert_close(together.values[row, together.valid[row]], alone.values[0])


def test_permuted_objects_give_permuted_outputs() -> None:
    fusion = SceneTextFusion(8, heads=2).eval()
    objects, situation, question = (random_tokens(2, count, 8, seed=count) for count in (7, 5, 4))
    texts = fusion.read(situation, question)
    order = torch.randperm(7)
    moved = fusion.guide(Tokens(objects.values[:, order], objects.valid[:, order]), *texts)
    torch.testing.assert_close(moved.values, fusion.guide(objects, *texts).values[:, order])


def test_the_objects_depend_on_each_text() -> None:
    fusion = SceneTextFusion(8, heads=2).eval()
    objects, situation, question = (random_tokens(1, count, 8, seed=count) for count in (7, 5, 4))
    other = random_tokens(1, 5, 8, seed=9)
    usual = fusion.guide(objects, *fusion.read(situation, question)).values
    assert (fusion.guide(objects, *fusion.read(other, question)).values - usual).abs().max() > 1e-3
    assert (fusion.guide(objects, *fusion.read(situation, other)).values - usual).abs().max() > 1e-3


def test_pooling_is_a_mean_weighted_by_scores_of_valid_tokens() -> None:
    pool, tokens = AttentionPool(8, 5).eval(), random_tokens(2, 6, 8)
    pooled, weights = pool(tokens)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    assert weights[~tokens.valid].eq(0).all()
    for row in range(2):
        values = tokens.values[row, tokens.valid[row]]
        weight = pool.score(values).exp() / pool.score(values).exp().sum()
        torch.testing.assert_close(weights[row, tokens.valid[row]], weight[:, 0])
        torch.testing.assert_close(pooled[row], pool.out((weight * values).sum(0)))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="got heads=3"):
        GuidedAttention(8, 3, 0.1)


def test_a_prior_shifts_the_pooling_weights() -> None:
    tokens, pool = random_tokens(2, 5, 8), AttentionPool(8, 4).eval()
    prior = torch.zeros(2, 5)
    prior[:, 0] = 50.0
    assert torch.equal(pool(tokens, 0 * prior)[0], pool(tokens)[0])
    torch.testing.assert_close(pool(tokens, prior)[1][:, 0], torch.ones(2))
