"""The deployment form of a trained adapter, with all products of constant matrices precomputed.

The letters are those of `readout.py`; h is a query head and g(h) its key/value head:

    q        [H·e, d]     Wq·A        queries of a row from its latent
    k, v     [G, e, d]    Wk·A, Wv·A  between a head and the latents; D-wide keys and values are never computed
    gram     [d, d]       W1ᵀ·W1      for the norm of x without x
    gate, up [F, D]       with the feed-forward norm's gain; the post-norm's gain is in `project_out`

Serving a row that is read then costs its latent attention, 2·D·d for the maps, and the block's output and feed-forward
matrices. The latter are the *tail*, which is the same for every pipeline: all pipelines around a block share one
`BlockTail` object (and file), and it can process rows of all of them as one matrix. A pipeline's own parts, its
`FoldedAttention` and `project_out`, are a few million numbers: in float32 with a float32 tail, in bfloat16 with a
narrower tail if the device multiplies that faster. The tail of LLaMA-7B has 152 million, in any `Precision`.
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
from perception.frozen.block import EVERY_ROW, BlockConfig, LlamaBlock, OptBlock, RMSNorm, attend, with_linear_type
from perception.frozen.readout import LatentMap, attend_to_latents, homogeneous, latent_of
from perception.kernels.linear import InferenceLinear, inference_linear
from perception.kernels.precision import Precision, has_bfloat16_products, with_precision
from perception.kernels.products import example_of
from perception.tokens import Readout, Tokens

TAIL_LINEARS = ("o", "gate", "up", "down")


class FoldedAttention(nn.Module):
    """Attention of one pipeline: computes the input of the block's tail for the rows that are read.

    Args:
        config: Shape of the block.
        project_in: d → D including the adapter's input gain; computes the residual stream of the rows that are read.
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
        """Map from tokens to ẑ."""
        return LatentMap(self._ones_before, self.gram, self.config.dim, self.config.eps, self._ones_after)

    def forward(
        self, tokens: Tokens, readout: Readout = EVERY_ROW
    ) -> tuple[Float[Tensor, "batch rows width"], Float[Tensor, "batch rows inner"]]:
        """Returns, for the rows that are read, the residual stream before the block and the outputs of all heads."""
        z = tokens.values.to(self.k.dtype)
        latent = self.to_latent(z)
        queries = inference_linear(readout.gather(latent), self.q)
        heads, kv_heads = self.config.heads, self.config.kv_heads
        if self.absorbs(example_of(latent.shape[1]), example_of(queries.shape[1])):
            attended = attend_to_latents(
                queries, latent, lambda Q: Q @ self.k, lambda C: C @ self.v.mT, tokens.valid, heads, kv_heads
            )
        else:
            keys, values = (inference_linear(latent, folded.flatten(0, 1)) for folded in (self.k, self.v))
            attended = attend(queries, keys, values, tokens.valid, heads, kv_heads)
        return self.project_in(readout.gather(z)).float(), attended.float()

    def absorbs(self, tokens: int, rows: int) -> bool:
        """Returns whether attending to the latents is cheaper than computing keys and values of every token."""
        heads, (kv_heads, size, dim) = self.config.heads, self.k.shape
        absorbed = 2 * rows * heads * dim * (size + tokens)
        folded = 2 * tokens * size * (kv_heads * dim + rows * heads)
        return absorbed <= folded


class BlockTail(nn.Module):
    """The part of a block after attention, applied to each row: output projection and feed-forward part.

    Args:
        config: Shape of the block.
        fingerprint: Fingerprint of the block's weights.
        precision: Precision of the weights.
        linears: The block's `o`, `gate` (LLaMA only), `up` and `down` in that precision, including the gain of the
            feed-forward norm.
        norms: The two norms of OPT-350M, which follow the sums; None for all other blocks.
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
        # The folded maps of a pipeline replace the layers before attention.
        before = dict.fromkeys(("q", "k", "v"), nn.Identity())
        for name, module in {**before, "attention_norm": first, "ffn_norm": second, **linears}.items():
            self.block.add_module(name, module)

    def forward(
        self, residual: Float[Tensor, "*rows width"], attended: Float[Tensor, "*rows inner"]
    ) -> Float[Tensor, "*rows width"]:
        """Returns the block's output for rows of any pipelines."""
        return self.block.finish(residual + self.block.o(attended))


class FoldedBlock(nn.Module):
    """A folded adapter for inference, with the interface and the values of the adapter.

    Args:
        attention: The pipeline's own part before the tail.
        tail: Tail, shared by all pipelines around the same block.
        post_norm: Norm without gain.
        project_out: Block width → encoder width.
        residual: Whether the tokens are added to the output.
        fingerprint: Fingerprint of the adapter.
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
        """Returns the rows that the head reads, in the type of the encoder's tokens."""
        return self.finish(self.tail(*self.attention(tokens, readout)), tokens, readout)

    def finish(
        self, hidden: Float[Tensor, "batch rows width"], tokens: Tokens, readout: Readout
    ) -> Float[Tensor, "batch rows dim"]:
        """Returns the rows that the head reads, from the output of the tail."""
        out = self.project_out(self.post_norm(hidden)).to(tokens.values.dtype)
        return readout.gather(tokens.values) + out if self.residual else out


@torch.no_grad()
def fold(adapter: nn.Module, precision: Precision = "float32", tail: BlockTail | None = None) -> FoldedBlock:
    """Folds a trained adapter into its deployment form.

    Args:
        adapter: Adapter with one language block; it is not changed.
        precision: Precision of the tail's weights.
        tail: Tail of the same block, made for another pipeline, to be shared.

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
    block = with_linear_type(block, torch.promote_types(block.q.weight.dtype, torch.float32))
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
    """Returns whether a block is an adapter around one language block; others are served without folding."""
    if not isinstance(block, FrozenBlockAdapter) or block.training_only:
        return False
    return len(block.blocks) == 1 and isinstance(block.blocks[0], LlamaBlock | OptBlock)


@torch.no_grad()
def fold_attention(
    block: LlamaBlock | OptBlock, project_in: nn.Module, input_gain: Tensor, precision: Precision
) -> FoldedAttention:
    """Folds the part of a pipeline before the tail."""
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
    """Returns the type of a pipeline's own maps."""
    return torch.bfloat16 if precision != "float32" and has_bfloat16_products(device) else torch.float32


@torch.no_grad()
def fold_tail(block: LlamaBlock | OptBlock, fingerprint: str, precision: Precision) -> BlockTail:
    """Builds the part of a block that pipelines share."""
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
    """Moves gain and bias of a norm into the linear layer after it; returns the plain norm and the new layer."""
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
    """Returns the SHA-256 of all values of a module."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().to("cpu", torch.float32).contiguous().numpy())
    return digest.hexdigest()
