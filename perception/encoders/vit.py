"""Vision transformer: a picture as patches and a class token, and the layers between them.

An Image is Worth 16x16 Words (https://arxiv.org/abs/2010.11929) in DeiT's sizes (https://arxiv.org/abs/2012.12877).
Parameter names, arithmetic and initialisation are those of timm's `VisionTransformer`, so that checkpoints of timm and
DeiT load as they are (`perception.encoders.vit_weights`). Not there: layer scale, register tokens, distillation tokens.

The encoder is three parts that a model calls one after the other, since a frozen block may stand between any two
layers: `embed`, `layers`, and `norm`. `forward` is all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from perception.errors import InputError
from perception.kernels.linear import FastLinear, inference_linear_gelu
from perception.tokens import Tokens


@dataclass(frozen=True)
class VitSize:
    """The size of a vision transformer.

    Attributes:
        dim: Width of the tokens.
        depth: Number of layers.
        heads: Number of heads of every attention.
    """

    dim: int
    depth: int
    heads: int


VIT_SIZES: Mapping[str, VitSize] = MappingProxyType(
    {
        "micro": VitSize(128, 4, 4),
        "tiny": VitSize(192, 12, 3),
        "small": VitSize(384, 12, 6),
        "base": VitSize(768, 12, 12),
        "large": VitSize(1024, 24, 16),
    }
)
"""Name → size. DeiT's and ViT's, and `micro`: for small pictures and few of them on a CPU. At 32 pixels with patches of
8 it has 17 tokens and 0.8 million weights, and a training step takes about a millisecond a picture on a core."""
MLP_RATIO = 4
"""Width of the hidden layer of the MLPs over that of the tokens."""


class PatchEmbed(nn.Module):
    """Maps each patch of a picture to a token; patches are read row by row."""

    def __init__(self, patch: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch patches dim"]:
        """Returns a token for each patch."""
        return self.proj(images).flatten(2).mT


class Attention(nn.Module):
    """Attention among all tokens of a picture.

    Args:
        dim: Width of the tokens.
        heads: Number of heads.
        bias: Whether `qkv` has a bias.
    """

    def __init__(self, dim: int, heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = FastLinear(dim, 3 * dim, bias)
        self.proj = FastLinear(dim, dim)

    def forward(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Returns what each token gathers."""
        return self.attend(self.qkv(x))

    def attend(self, qkv: Float[Tensor, "batch tokens three_dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Returns what each token gathers, from queries, keys and values side by side."""
        query, key, value = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with GELU between them, applied to each token."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = FastLinear(dim, hidden_dim)
        self.fc2 = FastLinear(hidden_dim, dim)

    def forward(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Returns the tokens' new values."""
        return self.fc2(inference_linear_gelu(x, self.fc1.weight, self.fc1.bias))


class Layer(nn.Module):
    """Attention and MLP, each after a norm and with a residual connection.

    Args:
        size: Size of the transformer.
        drop_path: Probability that a sample skips attention, and that it skips the MLP, in training.
        eps: Epsilon of the norms.
        attention: Class of the attention.
    """

    def __init__(self, size: VitSize, drop_path: float, eps: float, attention: type[Attention] = Attention) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(size.dim, eps)
        self.attn = attention(size.dim, size.heads)
        self.norm2 = nn.LayerNorm(size.dim, eps)
        self.mlp = Mlp(size.dim, MLP_RATIO * size.dim)

    def forward(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Returns the tokens' new values."""
        x = x + self._dropped(self.attn(self.norm1(x)))
        return x + self._dropped(self.mlp(self.norm2(x)))

    def _dropped(self, added: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Stochastic depth (https://arxiv.org/abs/1603.09382): zero for some samples, larger for the others."""
        if not self.training or self.drop_path == 0:
            return added
        keep = 1 - self.drop_path
        return added * added.new_empty(len(added), 1, 1).bernoulli_(keep).div_(keep)


def make_layers(size: VitSize, drop_path: float, eps: float, attention: type[Attention] = Attention) -> nn.ModuleList:
    """Returns the layers of a transformer; `drop_path` rises linearly from 0 in the first to its value in the last."""
    rates = torch.linspace(0, drop_path, size.depth, device="cpu").tolist()
    return nn.ModuleList([Layer(size, rate, eps, attention) for rate in rates])


def apply_layers(
    layers: Iterable[nn.Module], x: Float[Tensor, "batch tokens dim"], *, recompute: bool = False
) -> Float[Tensor, "batch tokens dim"]:
    """Applies layers one after another.

    Args:
        layers: The layers.
        x: Values of the tokens.
        recompute: Whether only each layer's input is kept, and the layer computed again for its gradient.
    """
    for layer in layers:
        if recompute and torch.is_grad_enabled():
            x = checkpoint(layer, x, use_reentrant=False)  # pyright: ignore[reportAssignmentType]
        else:
            x = layer(x)
    return x


def initialise_linears(module: nn.Module) -> None:
    """Draws the weights of all linear layers from a truncated normal distribution, and zeroes their biases."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class Vit(nn.Module):
    """A vision transformer.

    Args:
        size: Size.
        patch: Height and width of a patch in pixels.
        picture: Height and width in pixels of the pictures that `pos_embed` is for. Pictures of other sizes are
            accepted too: their position embeddings are interpolated.
        drop_path: Probability that a sample skips a part of the last layer in training; it rises linearly from 0 in the
            first layer.
        eps: Epsilon of the norms; Hugging Face's ViT has 1e-12.
        checkpointing: Whether training keeps only each layer's input and computes the layer again for its gradient.

    Attributes:
        blocks: The layers, under timm's name for them.
        norm: Norm of the tokens that a head reads.
    """

    def __init__(
        self,
        size: VitSize,
        patch: int,
        picture: tuple[int, int],
        *,
        drop_path: float = 0.0,
        eps: float = 1e-6,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.size, self.patch, self.checkpointing = size, patch, checkpointing
        self.grid = self._grid_of(*picture)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], size.dim))
        self.patch_embed = PatchEmbed(patch, size.dim)
        self.blocks = make_layers(size, drop_path, eps)
        self.norm = nn.LayerNorm(size.dim, eps)
        self._initialise()

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Tokens:
        """Returns the class token, then a token for each patch, after the last norm."""
        tokens = self.layers(self.embed(images))
        return tokens.replace(self.norm(tokens.values))

    def embed(self, images: Float[Tensor, "batch 3 height width"]) -> Tokens:
        """Returns the class token and the patches before the first layer.

        Raises:
            InputError: A side is not a multiple of the patch.
        """
        grid = self._grid_of(*images.shape[-2:])
        patches = self.patch_embed(images)
        values = torch.cat([self.cls_token.expand(images.shape[0], -1, -1), patches], 1)
        values = values + resample_pos_embed(self.pos_embed, self.grid, grid)
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))

    def layers(self, tokens: Tokens, start: int = 0, stop: int | None = None) -> Tokens:
        """Applies the layers from `start` to before `stop`; by default all of them."""
        return tokens.replace(
            apply_layers(self.blocks[start:stop], tokens.values, recompute=self.checkpointing and self.training)
        )

    def _grid_of(self, height: int, width: int) -> tuple[int, int]:
        if height % self.patch or width % self.patch or not height or not width:
            raise InputError(
                f"picture of {height} × {width} pixels: expected sides that are multiples of the patch, {self.patch}; "
                "resize or crop it"
            )
        return height // self.patch, width // self.patch

    def _initialise(self) -> None:
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.normal_(self.cls_token, std=1e-6)
        initialise_linears(self)


def resample_pos_embed(
    pos_embed: Float[Tensor, "1 tokens dim"], old: tuple[int, int], new: tuple[int, int]
) -> Float[Tensor, "1 new_tokens dim"]:
    """Interpolates the position embeddings of patches to another grid; that of the class token stays as it is.

    Args:
        pos_embed: Embedding of the class token, then of each patch.
        old: Rows and columns of the grid that the embeddings are for.
        new: Rows and columns of the grid that is wanted.
    """
    if old == new:
        return pos_embed
    image = pos_embed[:, 1:].float().unflatten(1, old).permute(0, 3, 1, 2)
    image = F.interpolate(image, size=new, mode="bicubic", antialias=True)
    patches = image.permute(0, 2, 3, 1).flatten(1, 2).to(pos_embed.dtype)
    return torch.cat([pos_embed[:, :1], patches], 1)
