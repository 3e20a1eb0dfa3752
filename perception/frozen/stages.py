"""What the block makes of tokens on the way from encoder to head, stage by stage, for whoever wants to look.

Pang et al. (ICLR 2024, §6) compare five stages. A model has no part in this: `noted_inputs` notes the tokens that any
model gives its block, and `block_stages` computes from them, plainly and for every row, what the block computes in its
fast way for the rows that are read. A model that nobody looks at computes and keeps nothing more.

Where a head reads few rows, such as a class token, the loss does not depend on the other rows of `project_out`: they
have had no gradient of their own in training, and are what the shared weights happen to make of them (§6.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.block import LlamaBlock, OptBlock
from perception.tokens import Readout, Tokens

Inside = Literal["sum", "added", "normed"]
"""What stands for a part of the block, which the paper leaves open: the residual stream behind it (`sum`), what it adds
to the stream (`added`), or the stream with the norm that follows the block applied to its output (`normed`)."""


@dataclass(frozen=True)
class BlockStages:
    """Features of every token; None where the adapter has no such stage.

    Attributes:
        encoder: Input of the adapter, F_E in the paper: not normed.
        project_in: Tokens as wide as the block, F_L1.
        attention: The last block after attention, F^A_LM.
        feed_forward: The last block after its feed-forward part, F^F_LM.
        project_out: What `project_out` gives, F_L2.
        output: What the adapter gives in evaluation: `project_out`, and the tokens themselves where there is a residual
            connection around the block, which the paper's models do not have; the tokens alone where the block is for
            training only.
    """

    encoder: Float[Tensor, "batch tokens dim"]
    project_in: Float[Tensor, "batch tokens width"] | None
    attention: Float[Tensor, "batch tokens width"] | None
    feed_forward: Float[Tensor, "batch tokens width"] | None
    project_out: Float[Tensor, "batch tokens dim"] | None
    output: Float[Tensor, "batch tokens dim"]

    def named(self) -> Mapping[str, Float[Tensor, "batch tokens _"]]:
        """The stages that are there, in their order; `output` only where it is not what another stage is."""
        found = {name: value for name, value in vars(self).items() if value is not None}
        if self.output is self.encoder or self.output is self.project_out:
            del found["output"]
        return found


@contextmanager
def noted_inputs(module: nn.Module) -> Iterator[list[Any]]:
    """Notes the first argument of each call of a module as long as the context lasts; what it gives stays the same.

    Args:
        module: Such as a model's `block`, whose first argument is the encoder's `Tokens`.
    """
    given: list[Any] = []
    handle = module.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    try:
        yield given
    finally:
        handle.remove()


def expect_adapter(block: object) -> FrozenBlockAdapter:
    """Returns a model's block as it was trained.

    Raises:
        ValueError: It is a folded one, which has no such stages, or none at all.
    """
    if not isinstance(block, FrozenBlockAdapter):
        raise ValueError(f"stages: expected a model as it was trained, got one around {type(block).__name__}")
    return block


@torch.no_grad()
def block_stages(adapter: FrozenBlockAdapter, tokens: Tokens, inside: Inside = "sum") -> BlockStages:
    """Returns the stages of every row.

    Args:
        adapter: The adapter. The stages inside of several blocks are those of the last one.
        tokens: What the encoder gives it.
        inside: What stands for a part of the block.
    """
    values, last = tokens.values, adapter.blocks[-1]
    x = _before_last_block(adapter, tokens)
    attention = feed_forward = None
    if isinstance(last, LlamaBlock | OptBlock):
        hidden = last.attention_sum(x, tokens.valid)
        found = last.finish(hidden)
        attention = hidden - x if inside == "added" else hidden
        feed_forward = {"sum": found, "added": found - hidden, "normed": adapter.post_norm(found)}[inside]
    else:
        found = last(x, tokens.valid)
    out = adapter.project_out(adapter.post_norm(found)).to(values.dtype)
    is_projected = not isinstance(adapter.project_out, nn.Identity)
    return BlockStages(
        encoder=values,
        project_in=adapter.project_in(_gained(adapter, values)) if is_projected else None,
        attention=attention,
        feed_forward=feed_forward,
        project_out=out if is_projected else None,
        output=_output(adapter, values, out if is_projected else None),
    )


@torch.no_grad()
def block_attention(
    adapter: FrozenBlockAdapter, tokens: Tokens, readout: Readout
) -> Float[Tensor, "batch heads rows tokens"] | None:
    """Returns where the rows that are read look in the last block; None without a language block.

    It sums to 1 over the valid tokens in each head.
    """
    last = adapter.blocks[-1]
    if not isinstance(last, LlamaBlock | OptBlock):
        return None
    x = _before_last_block(adapter, tokens)
    normed = last.attention_norm(x) if last.config.pre_norm else x
    query, key = last.q(readout.gather(normed)), last.k(normed)
    return attention_weights(query, key, last.heads, last.kv_heads, tokens)


def attention_weights(
    query: Float[Tensor, "batch rows inner"],
    key: Float[Tensor, "batch tokens kv_inner"],
    heads: int,
    kv_heads: int,
    tokens: Tokens,
) -> Float[Tensor, "batch heads rows tokens"]:
    """Returns the softmax of the scaled products over the valid tokens, for each head."""
    queries = query.unflatten(-1, (kv_heads, heads // kv_heads, -1)).permute(0, 2, 3, 1, 4)
    keys = key.unflatten(-1, (kv_heads, 1, -1)).permute(0, 2, 3, 4, 1)
    scores = (queries @ keys).flatten(1, 2) / queries.shape[-1] ** 0.5
    return scores.masked_fill(~tokens.valid[:, None, None], -torch.inf).softmax(-1).nan_to_num(0.0)


def _output(
    adapter: FrozenBlockAdapter,
    values: Float[Tensor, "batch tokens dim"],
    projected: Float[Tensor, "batch tokens dim"] | None,
) -> Float[Tensor, "batch tokens dim"]:
    if projected is None or adapter.training_only:
        return values
    return values + projected if adapter.residual else projected


def _before_last_block(adapter: FrozenBlockAdapter, tokens: Tokens) -> Float[Tensor, "batch tokens width"]:
    x = adapter.project_in(_gained(adapter, tokens.values))
    for block in list(adapter.blocks)[:-1]:
        x = block(x, tokens.valid)
    return x


def _gained(
    adapter: FrozenBlockAdapter, values: Float[Tensor, "batch tokens dim"]
) -> Float[Tensor, "batch tokens dim"]:
    return values * adapter.input_gain.to(values.dtype)
