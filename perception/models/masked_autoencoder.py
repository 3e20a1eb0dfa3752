"""Pre-training of the encoder of clips: it sees a few tubelets, and a small decoder predicts the hidden ones.

VideoMAE (https://arxiv.org/abs/2203.12602, §3). Names and arithmetic are those of the authors' code; the encoder's last
norm, which fine-tuning drops, is `norm` here. There is no language block.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from perception.clips.clip_input import ClipInput
from perception.encoders.video_mae import VideoMae, VideoMaeAttention, sinusoid_table, tubelets_of
from perception.encoders.vit import VitSize, apply_layers, make_layers
from perception.errors import InputError
from perception.images.picture_input import IMAGENET_MEAN, IMAGENET_STD
from perception.kernels.precision import Precision
from perception.models.with_block import fold_block


class Decoder(nn.Module):
    """A narrow and shallow transformer from tokens of all tubelets to the pixels of those that are hidden.

    Args:
        size: Its size; the published ones are half as wide as the encoder and have 4 layers.
        values: Number of values of a tubelet.
        eps: Epsilon of the norms; Hugging Face's last one has 1e-5.
    """

    def __init__(self, size: VitSize, values: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.blocks = make_layers(size, 0.0, eps, VideoMaeAttention)
        self.norm = nn.LayerNorm(size.dim, eps)
        self.head = nn.Linear(size.dim, values)

    def forward(self, x: Float[Tensor, "batch tokens dim"], hidden: int) -> Float[Tensor, "batch {hidden} values"]:
        """Returns the last tokens' predictions."""
        return self.head(self.norm(apply_layers(self.blocks, x)[:, -hidden:]))


class MaskedAutoencoder(nn.Module):
    """Encoder and decoder.

    Args:
        encoder: What is pre-trained.
        decoder: Size of the decoder.
        eps: Epsilon of the norms.

    Attributes:
        block: None: there is no language block.
    """

    pos_embed: Tensor

    def __init__(self, encoder: VideoMae, decoder: VitSize, *, eps: float = 1e-6) -> None:
        super().__init__()
        self.encoder = encoder
        self.norm = nn.LayerNorm(encoder.size.dim, eps)
        self.encoder_to_decoder = nn.Linear(encoder.size.dim, decoder.dim, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder.dim))
        self.shape = (encoder.tubelet, encoder.patch, encoder.patch)
        self.decoder = Decoder(decoder, 3 * self.shape[0] * self.shape[1] * self.shape[2], eps)
        table = sinusoid_table(encoder.pos_embed.shape[1], decoder.dim)
        self.register_buffer("pos_embed", table, persistent=False)
        self.block = None
        self.input = ClipInput(encoder.clip[0], encoder.clip[1])
        self._initialise()

    def forward(
        self, clips: Float[Tensor, "batch 3 time height width"], masked: Bool[Tensor, "batch tubelets"]
    ) -> Float[Tensor, "batch hidden values"]:
        """Returns predictions for the hidden tubelets, in their order.

        Args:
            clips: Normalised clips.
            masked: Which tubelets are hidden; equally many of each clip.
        """
        visible = self.encoder.layers(self.encoder.embed(clips, ~masked)).values
        seen = self.encoder_to_decoder(self.norm(visible))
        places = self.pos_embed.expand(len(clips), -1, -1)
        seen = seen + places[~masked].view_as(seen)
        hidden = places[masked].unflatten(0, (len(clips), -1))
        return self.decoder(torch.cat([seen, self.mask_token + hidden], 1), hidden.shape[1])

    def tubelets(self, clips: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch tubelets values"]:
        """Returns the pixels of each tubelet, from 0 to 1."""
        mean, std = (clips.new_tensor(values).view(3, 1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        return tubelets_of(clips * std + mean, self.shape)

    def with_block(self, block: nn.Module) -> MaskedAutoencoder:
        """Raises InputError: there is no place for a block."""
        raise InputError(f"a masked autoencoder has no language block, got {type(block).__name__}; fine-tune one first")

    def folded(self, precision: Precision = "float32") -> MaskedAutoencoder:
        """The model for serving; see `perception.models.with_block.fold_block`."""
        return fold_block(self, precision)

    def _initialise(self) -> None:
        """As the authors' code: Xavier's uniform distribution, and a narrow normal one for the mask token."""
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
