"""VideoMAE's vision transformer: a clip as tubelets, and the layers between them.

VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training
(https://arxiv.org/abs/2203.12602). Parameter names and arithmetic are those of the authors' code, so that its
checkpoints load as they are (`perception.encoders.video_mae_weights`). The layers are those of a picture's transformer,
but keys have no bias; positions are a fixed table over all tubelets, and there is no class token and no last norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from perception.encoders.vit import Attention, VitSize, apply_layers, initialise_linears, make_layers
from perception.errors import InputError
from perception.kernels.linear import inference_linear
from perception.tokens import Tokens

VIDEO_MAE_SIZES: Mapping[str, VitSize] = MappingProxyType(
    {
        "micro": VitSize(128, 4, 4),
        "small": VitSize(384, 12, 6),
        "base": VitSize(768, 12, 12),
        "large": VitSize(1024, 24, 16),
    }
)
"""Name → size. The published ones, and `micro`: 0.8 million weights, for small clips on a CPU."""


class TubeletEmbed(nn.Module):
    """Maps each tubelet, a patch over a few images, to a token; they are read time by time, then row by row."""

    def __init__(self, tubelet: int, patch: int, dim: int) -> None:
        super().__init__()
        shape = (tubelet, patch, patch)
        self.proj = nn.Conv3d(3, dim, kernel_size=shape, stride=shape)

    def forward(self, clips: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch tubelets dim"]:
        """Returns a token for each tubelet."""
        # As a product: a convolution whose parts do not overlap is one, and PyTorch's in three dimensions is slower.
        return F.linear(tubelets_of(clips, self.proj.kernel_size), self.proj.weight.flatten(1), self.proj.bias)  # pyright: ignore[reportArgumentType]


def tubelets_of(
    clips: Float[Tensor, "batch 3 time height width"], shape: tuple[int, int, int]
) -> Float[Tensor, "batch tubelets values"]:
    """Returns the values of each tubelet: colour by colour, image by image, row by row."""
    time, height, width = shape
    parts = clips.unflatten(4, (-1, width)).unflatten(3, (-1, height)).unflatten(2, (-1, time))
    return parts.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)


class VideoMaeAttention(Attention):
    """Attention whose queries and values have a bias; its keys have none, as theirs would change nothing."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(dim, heads, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Returns what each token gathers."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        return self.attend(inference_linear(x, self.qkv.weight, bias))


class VideoMae(nn.Module):
    """VideoMAE's encoder.

    Args:
        size: Size.
        patch: Height and width of a tubelet in pixels.
        clip: Number of images of a clip, their height and their width in pixels.
        tubelet: Number of images of a tubelet.
        drop_path: Probability that a sample skips a part of the last layer in training; it rises linearly from 0 in the
            first layer.
        eps: Epsilon of the norms; Hugging Face's configuration has 1e-12 by default.
        checkpointing: Whether training keeps only each layer's input and computes the layer again for its gradient.

    Attributes:
        blocks: The layers, under the authors' name for them.
        grid: Number of tubelets in time, height and width.
    """

    pos_embed: Tensor

    def __init__(
        self,
        size: VitSize,
        patch: int,
        clip: tuple[int, int, int],
        *,
        tubelet: int = 2,
        drop_path: float = 0.0,
        eps: float = 1e-6,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.size, self.patch, self.tubelet, self.clip = size, patch, tubelet, clip
        self.checkpointing = checkpointing
        self.grid = grid_of(clip, (tubelet, patch, patch))
        self.patch_embed = TubeletEmbed(tubelet, patch, size.dim)
        table = sinusoid_table(self.grid[0] * self.grid[1] * self.grid[2], size.dim)
        self.register_buffer("pos_embed", table, persistent=False)
        self.blocks = make_layers(size, drop_path, eps, VideoMaeAttention)
        initialise_linears(self)

    def forward(self, clips: Float[Tensor, "batch 3 time height width"]) -> Tokens:
        """Returns a token for each tubelet; there is no norm after the last layer."""
        return self.layers(self.embed(clips))

    def embed(
        self,
        clips: Float[Tensor, "batch 3 time height width"],
        visible: Bool[Tensor, "batch tubelets"] | None = None,
    ) -> Tokens:
        """Returns the tubelets before the first layer.

        Args:
            clips: Normalised clips.
            visible: Which tubelets to return, equally many of each clip and in their order; None returns all.

        Raises:
            InputError: The clips are of another size than the table of positions.
        """
        if tuple(clips.shape[2:]) != self.clip:
            expected, found = (" × ".join(map(str, shape)) for shape in (self.clip, clips.shape[2:]))
            raise InputError(
                f"clips: expected {expected} (images, height, width), got {found}; sample and resize them, or build "
                "an encoder for that size"
            )
        values = self.patch_embed(clips) + self.pos_embed
        if visible is not None:
            values = values[visible].unflatten(0, (len(clips), -1))
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))

    def layers(self, tokens: Tokens) -> Tokens:
        """Applies all layers."""
        return tokens.replace(apply_layers(self.blocks, tokens.values, recompute=self.checkpointing and self.training))


def grid_of(clip: tuple[int, int, int], shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Returns the number of tubelets of a clip in time, height and width.

    Raises:
        InputError: Tubelets of this shape do not fill it.
    """
    if any(length < 1 or length % part for length, part in zip(clip, shape, strict=True)):
        raise InputError(
            f"clip of {' × '.join(map(str, clip))} (images, height, width): expected multiples of a tubelet's "
            f"{' × '.join(map(str, shape))}; choose another size"
        )
    time, height, width = (length // part for length, part in zip(clip, shape, strict=True))
    return time, height, width


def sinusoid_table(positions: int, dim: int) -> Float[Tensor, "1 positions dim"]:
    """Returns the table of Attention Is All You Need (https://arxiv.org/abs/1706.03762, §3.5); it is not trained."""
    place = torch.arange(positions, dtype=torch.float64, device="cpu").unsqueeze(1)
    pair = torch.arange(dim, dtype=torch.float64, device="cpu").div(2, rounding_mode="floor")
    angle = place / 10000 ** (2 * pair / dim)
    table = torch.where(torch.arange(dim, device="cpu") % 2 == 0, angle.sin(), angle.cos())
    return table.float().unsqueeze(0)
