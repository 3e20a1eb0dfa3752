"""The definition of the frozen language-model block; faster implementations must give the same values.

Frozen Transformers in Language Models Are Effective Visual Encoder Layers (Pang et al., ICLR 2024, §3),
https://arxiv.org/abs/2310.12973. A decoder block of a language model is used as an encoder layer: attention is
bidirectional over all valid tokens, and there is no positional embedding (no rotary embedding in LLaMA).

The state-dict names are our own and the same in all our weight files:
`attention_norm`, `q`, `k`, `v`, `o`, `ffn_norm`, `gate` (LLaMA only), `up`, `down`, each with `.weight`
and, in OPT blocks, `.bias`.
"""

from __future__ import annotations

import copy
import reprlib
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from perception.errors import InputError
from perception.kernels.products import rows_times
from perception.tokens import Readout

EVERY_ROW = Readout()
MAX_SIZE = 2**20
"""Maximum width of a block, and of its feed-forward part; the largest published ones are below 2**16."""


class RMSNorm(nn.Module):
    """Root-mean-square normalisation as in LLaMA: computed in float32 or wider, cast back, then scaled."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Returns the normalised rows."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return normed.to(x.dtype) * self.weight


class Linear(nn.Linear):
    """A linear layer that uses `rows_times`."""

    def forward(self, input: Float[Tensor, "*rows in_dim"]) -> Float[Tensor, "*rows out_dim"]:
        """Returns x·weightᵀ + bias."""
        return rows_times(input, self.weight, self.bias)


class LlamaBlock(nn.Module):
    """One LLaMA decoder block: pre-norm RMSNorm, grouped-query attention, SwiGLU, no biases."""

    def __init__(self, dim: int, heads: int, kv_heads: int, ffn_dim: int, eps: float) -> None:
        super().__init__()
        kv_dim = dim // heads * kv_heads
        self.heads, self.kv_heads = heads, kv_heads
        self.attention_norm = RMSNorm(dim, eps)
        self.q = nn.Linear(dim, dim, bias=False)
        self.k = nn.Linear(dim, kv_dim, bias=False)
        self.v = nn.Linear(dim, kv_dim, bias=False)
        self.o = Linear(dim, dim, bias=False)
        self.ffn_norm = RMSNorm(dim, eps)
        self.gate = Linear(dim, ffn_dim, bias=False)
        self.up = Linear(dim, ffn_dim, bias=False)
        self.down = Linear(ffn_dim, dim, bias=False)

    @property
    def config(self) -> BlockConfig:
        """Shape of the block."""
        dim, ffn_dim, eps = self.q.in_features, self.up.out_features, self.attention_norm.eps
        return BlockConfig("llama", dim, self.heads, self.kv_heads, ffn_dim, eps)

    def forward(
        self,
        x: Float[Tensor, "batch tokens dim"],
        valid: Bool[Tensor, "batch tokens"] | None,
        readout: Readout = EVERY_ROW,
    ) -> Float[Tensor, "batch rows dim"]:
        """Returns the output of the rows that are read; keys and values come from every valid token."""
        return self.finish(self.attention_sum(x, valid, readout))

    def attention_sum(
        self,
        x: Float[Tensor, "batch tokens dim"],
        valid: Bool[Tensor, "batch tokens"] | None,
        readout: Readout = EVERY_ROW,
    ) -> Float[Tensor, "batch rows dim"]:
        """Returns the first residual sum, input plus attention, of the rows that are read."""
        normed = self.attention_norm(x)
        queries = self.q(readout.gather(normed))
        attended = attend(queries, self.k(normed), self.v(normed), valid, self.heads, self.kv_heads)
        return readout.gather(x) + self.o(attended)

    def finish(self, hidden: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Applies the feed-forward part, which follows the first residual sum, to each row."""
        normed = self.ffn_norm(hidden)
        return hidden + self.down(F.silu(self.gate(normed)) * self.up(normed))


class OptBlock(nn.Module):
    """One OPT decoder block: LayerNorm before each part (or after each sum: OPT-350M), biases, ReLU."""

    def __init__(self, dim: int, heads: int, ffn_dim: int, pre_norm: bool, eps: float) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.pre_norm = heads, heads, pre_norm
        self.attention_norm = nn.LayerNorm(dim, eps)
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.o = Linear(dim, dim)
        self.ffn_norm = nn.LayerNorm(dim, eps)
        self.up = Linear(dim, ffn_dim)
        self.down = Linear(ffn_dim, dim)

    @property
    def config(self) -> BlockConfig:
        """Shape of the block."""
        dim, ffn_dim, eps = self.q.in_features, self.up.out_features, self.attention_norm.eps
        return BlockConfig("opt", dim, self.heads, self.heads, ffn_dim, eps, self.pre_norm)

    def forward(
        self,
        x: Float[Tensor, "batch tokens dim"],
        valid: Bool[Tensor, "batch tokens"] | None,
        readout: Readout = EVERY_ROW,
    ) -> Float[Tensor, "batch rows dim"]:
        """Returns the output of the rows that are read; keys and values come from every valid token."""
        return self.finish(self.attention_sum(x, valid, readout))

    def attention_sum(
        self,
        x: Float[Tensor, "batch tokens dim"],
        valid: Bool[Tensor, "batch tokens"] | None,
        readout: Readout = EVERY_ROW,
    ) -> Float[Tensor, "batch rows dim"]:
        """Returns the first residual sum, input plus attention, of the rows that are read."""
        attention_input = self.attention_norm(x) if self.pre_norm else x
        queries = self.q(readout.gather(attention_input))
        attended = attend(queries, self.k(attention_input), self.v(attention_input), valid, self.heads, self.heads)
        return readout.gather(x) + self.o(attended)

    def finish(self, hidden: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Applies everything after the first residual sum to each row."""
        if self.pre_norm:
            return hidden + self.down(F.relu(self.up(self.ffn_norm(hidden))))
        hidden = self.attention_norm(hidden)
        return self.ffn_norm(hidden + self.down(F.relu(self.up(hidden))))


Block = TypeVar("Block", bound=LlamaBlock | OptBlock)


def with_linear_type(block: Block, dtype: torch.dtype) -> Block:
    """Returns the block with the weights of its linear layers in another type; norms and activations keep theirs.

    Products with weights in bfloat16 and activations in float32 are those of `perception.kernels.mixed_types`.
    """
    if block.q.weight.dtype == dtype:
        return block
    made = copy.copy(block)
    made._modules = {name: _in_type(part, dtype) for name, part in block._modules.items()}
    return made


def _in_type(part: nn.Module | None, dtype: torch.dtype) -> nn.Module | None:
    if not isinstance(part, nn.Linear):
        return part
    made = Linear(part.in_features, part.out_features, part.bias is not None, device="meta")
    made.load_state_dict({name: value.to(dtype) for name, value in part.state_dict().items()}, assign=True)
    return made.requires_grad_(part.weight.requires_grad)


def attend(
    queries: Float[Tensor, "batch rows dim"],
    keys: Float[Tensor, "batch tokens kv_dim"],
    values: Float[Tensor, "batch tokens kv_dim"],
    valid: Bool[Tensor, "batch tokens"] | None,
    heads: int,
    kv_heads: int,
) -> Float[Tensor, "batch rows dim"]:
    """Bidirectional multi-head attention over the valid tokens; zero if a sample has no valid token.

    Since 2.5, PyTorch's kernels return zeros, not NaN, for a query without valid keys (values and gradients).
    """
    q = queries.unflatten(-1, (heads, -1)).transpose(1, 2)
    k = keys.unflatten(-1, (kv_heads, -1)).transpose(1, 2)
    v = values.unflatten(-1, (kv_heads, -1)).transpose(1, 2)
    mask = None if valid is None else valid[:, None, None, :]
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=heads != kv_heads)
    return attended.transpose(1, 2).flatten(2)


def expect_size(name: str, size: object) -> None:
    """Refuses what is not a whole number from 1 to `MAX_SIZE`."""
    if type(size) is not int or not 1 <= size <= MAX_SIZE:
        raise InputError(f"{name}: expected a whole number from 1 to {MAX_SIZE}, got {reprlib.repr(size)}")


@dataclass(frozen=True)
class BlockConfig:
    """The shape of a block: everything except its weights.

    Attributes:
        architecture: `LlamaBlock` or `OptBlock`.
        dim: Width of the residual stream, D in the paper.
        heads: Number of query heads, each dim / heads wide.
        kv_heads: Number of key/value heads, each shared by heads / kv_heads query heads.
        ffn_dim: Hidden width of the feed-forward part.
        eps: Epsilon of the norms.
        pre_norm: Whether the norms precede attention and feed-forward part; False only in OPT-350M.
    """

    architecture: Literal["llama", "opt"]
    dim: int
    heads: int
    kv_heads: int
    ffn_dim: int
    eps: float
    pre_norm: bool = True

    def __post_init__(self) -> None:
        """Checks types too, since most configurations come from files."""
        for name in ("dim", "heads", "kv_heads", "ffn_dim"):
            expect_size(f"block: {name}", getattr(self, name))
        if not isinstance(self.eps, float) or not 0 < self.eps < 1:
            raise InputError(f"block: expected eps between 0 and 1, got {reprlib.repr(self.eps)}")
        if not isinstance(self.pre_norm, bool):
            raise InputError(f"block: expected pre_norm to be true or false, got {reprlib.repr(self.pre_norm)}")
        if self.architecture not in ("llama", "opt"):
            raise InputError(f"block: expected architecture llama or opt, got {reprlib.repr(self.architecture)}")
        if self.dim % self.heads:
            raise InputError(f"block: expected heads that divide the width, got {self.heads} and {self.dim}")
        if self.heads % self.kv_heads:
            raise InputError(f"block: expected kv_heads that divide heads, got {self.kv_heads} and {self.heads}")
        if self.architecture == "opt" and self.kv_heads != self.heads:
            raise InputError(
                f"block: expected one key/value head per head in OPT, got {self.kv_heads} for {self.heads} heads"
            )
        if self.architecture == "llama" and not self.pre_norm:
            raise InputError("block: expected pre_norm=True in a LLaMA block, got False")

    def build(self) -> LlamaBlock | OptBlock:
        """Builds a block of this shape with PyTorch's initial weights, to be overwritten by the caller."""
        if self.architecture == "opt":
            return OptBlock(self.dim, self.heads, self.ffn_dim, self.pre_norm, self.eps)
        return LlamaBlock(self.dim, self.heads, self.kv_heads, self.ffn_dim, self.eps)
