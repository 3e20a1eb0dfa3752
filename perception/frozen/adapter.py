"""The adapter of the frozen block between encoder and head: project_in → block(s) → post-norm → project_out.

Frozen Transformers in Language Models Are Effective Visual Encoder Layers (Pang et al., ICLR 2024, eq. 2 and §5.1),
https://arxiv.org/abs/2310.12973. As in the released code there is no norm before `project_in`, no residual connection
around the block, and a second RMSNorm of unit gain after it, which the paper does not mention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from perception.frozen.block import EVERY_ROW, LlamaBlock, OptBlock, RMSNorm, with_linear_type
from perception.frozen.chunked import read_in_chunks
from perception.frozen.readout import read_rows
from perception.frozen.readout_cost import Regime
from perception.frozen.weights import LoadedBlocks, load_blocks, random_like, read_config
from perception.tokens import Readout, Tokens

Kind = Literal["language", "random", "mlp", "none"]
PostNorm = Literal["unit_rms", "llm_final", "none"]
Init = Literal["trunc_normal", "default"]


class FrozenBlockAdapter(nn.Module):
    """Passes encoder tokens through blocks of a language model; input and output have the encoder's width.

    Attributes:
        project_in: Encoder width → block width.
        blocks: Blocks; the last computes only the rows that are read, the others all rows.
        post_norm: Norm of the rows that are read.
        project_out: Block width → encoder width.
        source: URI of the blocks' initial weights; None without a block.
        fingerprint: `LoadedBlocks.fingerprint` of these weights; None without a block.
        residual: Whether the tokens are added to the output.
        regime: How the block behind `project_in` is evaluated, see `perception.frozen.readout`; None chooses the
            cheapest regime for each batch. All give the same values.
        training_only: Whether the blocks are passed by in evaluation. In training every batch entry then takes the way
            through the blocks or past them, by a coin: a head that reads either teaches the encoder both ways. This is
            our plain form of a block that helps in training and costs nothing later (the idea is Bai et al.'s, AAAI
            2025); the coin is drawn from PyTorch's global generator.
        rows_at_once: Number of rows that are as wide as the block at a time, see `perception.frozen.chunked`; None
            computes all at once. It is about the last language block; the controls have no such parts.
        input_gain: Factor of the tokens before `project_in`; 1 except after `match_residual`. Not trained.
    """

    input_gain: Tensor

    def __init__(
        self,
        project_in: nn.Module,
        blocks: Sequence[nn.Module],
        post_norm: nn.Module,
        project_out: nn.Module,
        source: str | None = None,
        fingerprint: str | None = None,
        residual: bool = False,
        training_only: bool = False,
    ) -> None:
        super().__init__()
        self.project_in = project_in
        self.blocks = nn.ModuleList(blocks)
        self.post_norm = post_norm
        self.project_out = project_out
        self.source = source
        self.fingerprint = fingerprint
        self.residual = residual
        self.training_only = training_only
        self.regime: Regime | None = None
        self.rows_at_once: int | None = None
        self.register_buffer("input_gain", torch.ones(()), persistent=source is not None)

    @torch.no_grad()
    def match_residual(self, dim: int) -> None:
        """Raises `input_gain` until the first block's input is as large as what the block adds to it.

        A language model's last blocks add vectors of size 10 to a residual stream of the same size. After a freshly
        initialised projection the stream has size 0.6, so that the block's output hides the tokens. The gain changes
        only the residual connection, since the norms in the block remove it. It stays 1 if the block adds less than
        its input (random blocks).
        """
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(4, 64, dim, generator=generator)
        x = self.project_in(z)
        added = self.blocks[0](x, None) - x
        self.input_gain.fill_((added.square().mean() / x.square().mean()).sqrt().clamp_min(1))

    def forward(self, tokens: Tokens, readout: Readout = EVERY_ROW) -> Float[Tensor, "batch rows dim"]:
        """Returns the rows that the head reads, in the type of the encoder's tokens."""
        if not self.training_only:
            return self._through_blocks(tokens, readout)
        past = readout.gather(tokens.values)
        if not self.training:
            return past
        goes_through = torch.rand(len(past), 1, 1, device=past.device) < 0.5
        return torch.where(goes_through, self._through_blocks(tokens, readout), past)

    def _through_blocks(self, tokens: Tokens, readout: Readout) -> Float[Tensor, "batch rows dim"]:
        *early, last = self.blocks
        x, project = tokens.replace(tokens.values * self.input_gain.to(tokens.values.dtype)), self.project_in
        for block in early:
            x, project = x.replace(read_rows(block, project, x, regime=self.regime)), nn.Identity()
        if self.rows_at_once and isinstance(last, LlamaBlock | OptBlock) and type(project) is nn.Linear:
            out = read_in_chunks(last, project, x, self._project_out, self.rows_at_once, readout)
        else:
            out = self._project_out(read_rows(last, project, x, readout, self.regime))
        out = out.to(tokens.values.dtype)
        return readout.gather(tokens.values) + out if self.residual else out

    def _project_out(self, read: Float[Tensor, "batch rows width"]) -> Float[Tensor, "batch rows dim"]:
        return self.project_out(self.post_norm(read))

    def extra_repr(self) -> str:
        """Adds the source of the block to the module's representation."""
        return f"source={self.source!r}, fingerprint={(self.fingerprint or 'none')[:12]}"


class MlpControl(nn.Module):
    """Replaces the block in the paper's MLP control (§5.1): GELU, then LayerNorm, applied to each row."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        x: Float[Tensor, "batch tokens dim"],
        _valid: Bool[Tensor, "batch tokens"] | None,
        readout: Readout = EVERY_ROW,
    ) -> Float[Tensor, "batch rows dim"]:
        """Returns the rows that are read."""
        return self.norm(F.gelu(readout.gather(x)))


class NoBlock(nn.Module):
    """Replaces the block in a baseline; returns the rows that are read unchanged."""

    def forward(
        self,
        x: Float[Tensor, "batch tokens dim"],
        _valid: Bool[Tensor, "batch tokens"] | None,
        readout: Readout = EVERY_ROW,
    ) -> Float[Tensor, "batch rows dim"]:
        """Returns the rows that are read."""
        return readout.gather(x)


def build_adapter(
    dim: int,
    *,
    kind: Kind = "language",
    source: str = "smollm2",
    frozen: bool = True,
    dtype: torch.dtype = torch.float32,
    post_norm: PostNorm = "unit_rms",
    bias: bool = False,
    init: Init = "trunc_normal",
    matched: bool = False,
    residual: bool = False,
    training_only: bool = False,
    seed: int = 0,
) -> FrozenBlockAdapter:
    """Builds an adapter for an encoder of width `dim`.

    Args:
        dim: Width of the encoder's tokens.
        kind: `language` uses the source's weights; `random` a block of the same shape with seeded random weights;
            `mlp` the paper's control, as wide as the source's block; `none` is the baseline without a block.
        source: Block URI, see `perception.frozen.weights`. Only its configuration is read for `random` and `mlp`.
        frozen: Whether the block is frozen. Gradients reach the encoder through it in either case. The paper's
            `language` block is frozen, its `random` block (§B.2) is trained.
        dtype: Type of the block's matrices; bfloat16 is for frozen blocks. See `with_linear_type`.
        post_norm: `unit_rms` is the released code's RMSNorm with gain 1 and the block's eps; `llm_final` is the model's
            norm after its last block. Neither is trained.
        bias: Whether the projections have a bias; in the released code they do not.
        init: Initialisation of the projections: `trunc_normal` (std 0.02) as in the released image code, or PyTorch's
            `default` as in the video and point-cloud code.
        matched: Whether to call `FrozenBlockAdapter.match_residual`; the released code does not.
        residual: Whether the tokens are added to the output, as in R-LLM (https://arxiv.org/abs/2403.17343).
            `project_out` then starts at zero, so that training starts from the baseline. The released image, video and
            point-cloud code does not add them; for motion forecasting, whose code was not released, the paper does not
            say.
        training_only: See `FrozenBlockAdapter`. Without a block (`none`) it changes nothing.
        seed: Seed of the random block; the projections use PyTorch's global generator.

    Raises:
        WeightsError: The source cannot be used.
    """
    if kind == "none":
        return FrozenBlockAdapter(nn.Identity(), [NoBlock()], nn.Identity(), nn.Identity())
    if kind == "mlp":
        width = read_config(source)[0].dim
        project_in, project_out = _projection(dim, width, bias, init), _projection(width, dim, bias, init)
        adapter = FrozenBlockAdapter(
            project_in,
            [MlpControl(width)],
            nn.Identity(),
            project_out,
            residual=residual,
            training_only=training_only,
        )
        return _start_from_baseline(adapter)
    if kind == "language":
        loaded = load_blocks(source)
    elif kind == "random":
        loaded = load_blocks(random_like(source, seed))
    else:
        assert_never(kind)
    width = loaded.config.dim
    adapter = FrozenBlockAdapter(
        _projection(dim, width, bias, init),
        [with_linear_type(block, dtype).requires_grad_(not frozen) for block in loaded.build()],
        _post_norm(loaded, post_norm),
        _projection(width, dim, bias, init),
        loaded.source,
        loaded.fingerprint,
        residual,
        training_only,
    )
    if matched:
        adapter.match_residual(dim)
    return _start_from_baseline(adapter)


def _start_from_baseline(adapter: FrozenBlockAdapter) -> FrozenBlockAdapter:
    """Zeroes `project_out` of an adapter with a residual connection, so that it returns its input at first."""
    if adapter.residual:
        for parameter in adapter.project_out.parameters():
            nn.init.zeros_(parameter)
    return adapter


def _post_norm(loaded: LoadedBlocks, kind: PostNorm) -> nn.Module:
    if kind == "unit_rms":
        return RMSNorm(loaded.config.dim, loaded.config.eps).requires_grad_(False)
    if kind == "llm_final":
        return loaded.build_final_norm().requires_grad_(False)
    if kind == "none":
        return nn.Identity()
    assert_never(kind)


def _projection(dim_in: int, dim_out: int, bias: bool, init: Init) -> nn.Linear:
    linear = nn.Linear(dim_in, dim_out, bias)
    if init == "trunc_normal":
        nn.init.trunc_normal_(linear.weight, std=0.02)
        if bias:
            nn.init.zeros_(linear.bias)
    elif init != "default":
        assert_never(init)
    return linear
