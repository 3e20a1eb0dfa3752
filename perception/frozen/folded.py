"""The deployment form of a trained adapter: whatever is constant by now is multiplied out, once.

In the letters of `readout.py`, with h a query head and g(h) its key/value head:

    q        [H·e, d]     Wq·A       queries of a row straight from its latent
    k, v     [G, e, d]    Wk·A, Wv·A  between a head and the latents; the D-wide keys and values never exist
    gram     [d, d]       W1ᵀ·W1     for the norm of x without x
    gate, up [F, D]       the feed-forward norm's gain is in them, the post-norm's gain is in `project_out`

so that serving one read row costs its latent attention, 2·D·d for the maps, and the block's output and feed-forward
matrices. Those last are the *tail*, the same for every pipeline: `BlockTail` is one object (and one file) that all
pipelines around a block share, and rows of all of them can pass it as one matrix. What is a pipeline's own, its
`FoldedAttention` and its projection out, is a few million numbers: float32 before a float32 tail, bfloat16 before a
narrower one where the device multiplies that faster. The tail holds 152 million for LLaMA-7B, in any `Precision`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor, nn

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.block import EVERY_ROW, BlockConfig, LlamaBlock, OptBlock, RMSNorm, attend
from perception.frozen.readout import LatentMap, attend_to_latents, homogeneous, latent_of
from perception.kernels.linear import InferenceLinear, inference_linear
from perception.kernels.precision import Precision, has_bfloat16_products, with_precision
from perception.tokens import Readout, Tokens

TAIL_LINEARS = ("o", "gate", "up", "down")


class FoldedAttention(nn.Module):
    """Attention of one pipeline: from its tokens to what the block's tail needs of the rows that are read.

    Args:
        config: Of the block.
        project_in: d → D, with the adapter's input gain in it; computes the residual stream of the read rows.
        to_latent: z → ẑ.
        q: Wq·A.
        k: Wk·A of every key head.
        v: Wv·A of every value head.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    gram: Tensor | None

    def __init__(
        self,
        config: BlockConfig,
        project_in: nn.Linear,
        to_latent: LatentMap,
        q: Float[Tensor, "inner latent_dim"],
        k: Float[Tensor, "kv_heads size latent_dim"],
        v: Float[Tensor, "kv_heads size latent_dim"],
    ) -> None:
        super().__init__()
        self.config = config
        self.project_in = project_in
        self.register_buffer("gram", to_latent.gram)
        self.register_buffer("q", q)
        self.register_buffer("k", k)
        self.register_buffer("v", v)
        self._ones_before, self._ones_after = to_latent.ones_before, to_latent.ones_after

    @property
    def to_latent(self) -> LatentMap:
        """From tokens to ẑ."""
        return LatentMap(self._ones_before, self.gram, self.config.dim, self.config.eps, self._ones_after)

    def forward(
        self, tokens: Tokens, readout: Readout = EVERY_ROW
    ) -> tuple[Float[Tensor, "batch rows width"], Float[Tensor, "batch rows inner"]]:
        """Of the rows that are read: the residual stream before the block, and all heads' outputs side by side."""
        z = tokens.values.to(self.k.dtype)
        latent = self.to_latent(z)
        queries = inference_linear(readout.gather(latent), self.q)
        heads, kv_heads = self.config.heads, self.config.kv_heads
        if self.absorbs(latent.shape[1], queries.shape[1]):
            attended = attend_to_latents(
                queries, latent, lambda Q: Q @ self.k, lambda C: C @ self.v.mT, tokens.valid, heads, kv_heads
            )
        else:
            keys, values = (inference_linear(latent, folded.flatten(0, 1)) for folded in (self.k, self.v))
            attended = attend(queries, keys, values, tokens.valid, heads, kv_heads)
        return self.project_in(readout.gather(z)).float(), attended.float()

    def absorbs(self, tokens: int, rows: int) -> bool:
        """Whether it costs less to attend to the latents than to make keys and values of every token."""
        heads, (kv_heads, size, dim) = self.config.heads, self.k.shape
        absorbed = 2 * rows * heads * dim * (size + tokens)
        folded = 2 * tokens * size * (kv_heads * dim + rows * heads)
        return absorbed <= folded


class BlockTail(nn.Module):
    """What follows attention in a block, each row for itself: output projection and feed-forward part.

    Args:
        config: Of the block.
        fingerprint: Of the weights that it was made from.
        precision: Of the weights.
        linears: The block's `o`, `gate` (LLaMA only), `up` and `down`, each in that precision, the gain of the norm
            before the feed-forward part in them.
        norms: The two norms of OPT-350M, which come after the sums; None in all other blocks.
    """

    def __init__(
        self,
        config: BlockConfig,
        fingerprint: str,
        precision: Precision,
        linears: Mapping[str, nn.Module],
        norms: tuple[nn.Module, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        self.precision: Precision = precision
        norm = nn.RMSNorm if config.architecture == "llama" else nn.LayerNorm
        first, second = norms or (nn.Identity(), norm(config.dim, config.eps, elementwise_affine=False))
        with torch.device("meta"):
            self.block = config.build()
        # A pipeline's folded maps stand for what comes before attention.
        before = dict.fromkeys(("q", "k", "v"), nn.Identity())
        for name, module in {**before, "attention_norm": first, "ffn_norm": second, **linears}.items():
            self.block.add_module(name, module)

    def forward(
        self, residual: Float[Tensor, "*rows width"], attended: Float[Tensor, "*rows inner"]
    ) -> Float[Tensor, "*rows width"]:
        """The block's output at rows of whatever pipelines."""
        return self.block.finish(residual + self.block.o(attended))


class FoldedBlock(nn.Module):
    """A trained adapter with its block, for inference only; called as the adapter is, and gives the same values.

    Args:
        attention: The pipeline's own part in front of the tail.
        tail: Shared with all pipelines around the same block.
        post_norm: Without gain.
        project_out: Block width → encoder width.
        residual: Whether the tokens are added to what comes out.
        fingerprint: Of the adapter that it was made from.
    """

    def __init__(
        self,
        attention: FoldedAttention,
        tail: BlockTail,
        post_norm: nn.Module,
        project_out: nn.Module,
        residual: bool,
        fingerprint: str,
    ) -> None:
        super().__init__()
        self.attention, self.tail = attention, tail
        self.post_norm, self.project_out = post_norm, project_out
        self.residual, self.fingerprint = residual, fingerprint

    @torch.inference_mode()
    def forward(self, tokens: Tokens, readout: Readout = EVERY_ROW) -> Float[Tensor, "batch rows dim"]:
        """The rows that the head reads, in the type that the encoder gave."""
        return self.finish(self.tail(*self.attention(tokens, readout)), tokens, readout)

    def finish(
        self, hidden: Float[Tensor, "batch rows width"], tokens: Tokens, readout: Readout
    ) -> Float[Tensor, "batch rows dim"]:
        """From the tail's output to what the head reads."""
        out = self.project_out(self.post_norm(hidden)).to(tokens.values.dtype)
        return readout.gather(tokens.values) + out if self.residual else out


@torch.no_grad()
def fold(adapter: nn.Module, precision: Precision = "float32", tail: BlockTail | None = None) -> FoldedBlock:
    """The deployment form of a trained adapter.

    Args:
        adapter: With one language block; it keeps its own weights.
        precision: Of the tail's weights.
        tail: Already made from the same block for another pipeline, to be shared.

    Raises:
        InputError: The adapter has no language block, or several, or another one than `tail` was made from.
    """
    if not can_fold(adapter):
        held = ", ".join(type(block).__name__ for block in getattr(adapter, "blocks", [])) or type(adapter).__name__
        raise InputError(
            f"fold: expected an adapter around one language block, got {held}; "
            "an adapter without one, or around several, is served as it is"
        )
    (block,) = adapter.blocks
    assert isinstance(block, LlamaBlock | OptBlock)
    fingerprint = fingerprint_of(block)
    if tail is None:
        tail = fold_tail(block, fingerprint, precision)
    elif tail.fingerprint != fingerprint:
        raise InputError(
            f"fold: expected a tail of this adapter's block {fingerprint[:12]}, got {tail.fingerprint[:12]}; "
            "only pipelines around the same weights can share one"
        )
    attention = fold_attention(block, adapter.project_in, adapter.input_gain, tail.precision)
    post_norm, project_out = _without_gain(adapter.post_norm, adapter.project_out)
    return FoldedBlock(attention, tail, post_norm, project_out, adapter.residual, fingerprint_of(adapter))


def can_fold(block: object) -> TypeGuard[FrozenBlockAdapter]:
    """Whether a model's block is an adapter around one language block; others are served as they are."""
    if not isinstance(block, FrozenBlockAdapter):
        return False
    return len(block.blocks) == 1 and isinstance(block.blocks[0], LlamaBlock | OptBlock)


@torch.no_grad()
def fold_attention(
    block: LlamaBlock | OptBlock, project_in: nn.Module, input_gain: Tensor, precision: Precision
) -> FoldedAttention:
    """A pipeline's part in front of the tail."""
    assert isinstance(project_in, nn.Linear)
    config = block.config
    scaled = InferenceLinear(project_in.in_features, config.dim, project_in.bias is not None, device="meta")
    state = {"weight": project_in.weight.detach() * input_gain}
    if project_in.bias is not None:
        state["bias"] = project_in.bias.detach().clone()
    scaled.load_state_dict(state, assign=True)
    to_latent, A = latent_of(block, scaled)
    maps = [homogeneous(linear) @ A for linear in (block.q, block.k, block.v)]
    k, v = (folded.unflatten(0, (config.kv_heads, -1)) for folded in maps[1:])
    attention = FoldedAttention(config, scaled, to_latent, maps[0], k, v).requires_grad_(False)
    return attention.to(attention_dtype(precision, scaled.weight.device))


def attention_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that a pipeline's own maps are computed in."""
    return torch.bfloat16 if precision != "float32" and has_bfloat16_products(device) else torch.float32


@torch.no_grad()
def fold_tail(block: LlamaBlock | OptBlock, fingerprint: str, precision: Precision) -> BlockTail:
    """The part of a block that pipelines share."""
    linears: dict[str, nn.Linear] = {name: getattr(block, name) for name in TAIL_LINEARS if hasattr(block, name)}
    norms = None
    if isinstance(block, OptBlock) and not block.pre_norm:
        norms = (block.attention_norm, block.ffn_norm)
    else:
        for name in linears.keys() & {"gate", "up"}:
            _, linears[name] = _without_gain(block.ffn_norm, linears[name])
    narrow = {name: with_precision(linear, precision) for name, linear in linears.items()}
    return BlockTail(block.config, fingerprint, precision, narrow, norms).requires_grad_(False)


def _without_gain(norm: nn.Module, linear: nn.Module) -> tuple[nn.Module, nn.Linear]:
    """A norm and the layer behind it as a norm without gain and bias and a layer that has them in it."""
    assert isinstance(linear, nn.Linear)
    weight, bias = linear.weight.detach(), None if linear.bias is None else linear.bias.detach()
    if isinstance(norm, RMSNorm):
        weight = weight * norm.weight.detach()
        norm = nn.RMSNorm(len(norm.weight), norm.eps, elementwise_affine=False)
    elif isinstance(norm, nn.LayerNorm):
        bias = weight @ norm.bias.detach() + (0 if bias is None else bias)
        weight = weight * norm.weight.detach()
        norm = nn.LayerNorm(len(norm.weight), norm.eps, elementwise_affine=False)
    folded = InferenceLinear(linear.in_features, linear.out_features, bias is not None, device="meta")
    folded.load_state_dict({"weight": weight, **({} if bias is None else {"bias": bias})}, assign=True)
    return norm, folded.requires_grad_(False)


def fingerprint_of(module: nn.Module) -> str:
    """SHA-256 over all values of a module."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().to("cpu", torch.float32).contiguous().numpy())
    return digest.hexdigest()
