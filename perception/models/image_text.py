"""Pictures with texts: towers → co-attention → frozen language block → answers, or how well both match.

METER (https://arxiv.org/abs/2111.02387) without vision-language pre-training, as in Pang et al. (ICLR 2024, §4.5,
§C.5), whose code was never released. The block processes "the visual tokens after vision-language fusion": it stands
behind the last co-attention layer of the picture, before its pooler, which reads the first row alone. Whether texts
pass it too is not said; here that is an option, through the same block, each stream by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from perception.batches import TensorRecord
from perception.encoders.clip_vision import CLIP_MEAN, CLIP_STD, ClipVision
from perception.encoders.roberta import RobertaText
from perception.frozen.block import EVERY_ROW
from perception.fusion.co_attention import CoAttention, StartedImage
from perception.heads.matching import MatchHead, PairAnswerHead, Pooler
from perception.images.image import Picture
from perception.images.picture_input import PictureInput
from perception.kernels.precision import Precision
from perception.models.with_block import exchange_block, fold_block
from perception.texts.vocabulary import TextBatch
from perception.tokens import Readout, Tokens

Streams = Literal["image", "both"]
_TEXT, _IMAGE = 0, 1
"""Rows of METER's `token_type_embeddings`."""


@dataclass(frozen=True)
class PairBatch(TensorRecord):
    """Pictures, each with a text.

    Attributes:
        images: Normalised pixels.
        texts: A text for each.
    """

    images: Float32[Tensor, "batch 3 height width"]
    texts: TextBatch


class ImageText(nn.Module):
    """Towers, fusion, block and heads.

    Args:
        image: Picture tower.
        text: Text tower.
        fusion: Co-attention of width `dim`.
        block: The frozen block between its two projections, or any of its controls, of width `dim`.
        dim: Width of the fused tokens.
        answers: Number of answers; 0 without an answer head.
        ranks: Whether it tells how well a picture and a text match.
        streams: What passes the block: the picture's tokens (the paper's), or those of the text too.
        input: Shows pictures to the tower. None crops the centre of the resized picture, as METER's `clip_transform`.
    """

    def __init__(
        self,
        image: ClipVision,
        text: RobertaText,
        fusion: CoAttention,
        block: nn.Module,
        *,
        dim: int,
        answers: int = 0,
        ranks: bool = False,
        streams: Streams = "image",
        input: PictureInput | None = None,
    ) -> None:
        super().__init__()
        self.image, self.text, self.fusion, self.block = image, text, fusion, block
        self.streams: Streams = streams
        side = image.picture
        self.input = input or PictureInput(side, side, crop_pct=1.0, mean=CLIP_MEAN, std=CLIP_STD)
        self.image_transform, self.text_transform = nn.Linear(image.size.dim, dim), nn.Linear(text.size.dim, dim)
        self.token_type_embeddings = nn.Embedding(2, dim)
        for weight in (self.image_transform.weight, self.text_transform.weight, self.token_type_embeddings.weight):
            nn.init.normal_(weight, std=0.02)
        for transform in (self.image_transform, self.text_transform):
            nn.init.zeros_(transform.bias)
        self.image_pooler, self.text_pooler = Pooler(dim), Pooler(dim)
        self.vqa_classifier = PairAnswerHead(2 * dim, answers) if answers else None
        self.itm_score = MatchHead(2 * dim) if ranks else None
        self.rank_output = self.itm_score.as_rank() if self.itm_score is not None else None

    def forward(
        self, images: Float[Tensor, "batch 3 height width"], texts: TextBatch
    ) -> Float[Tensor, "batch answers"]:
        """Returns a logit for each answer to each picture's text."""
        if self.vqa_classifier is None:
            raise ValueError("ImageText: expected a model with answers, got one that ranks")
        return self.vqa_classifier(self.fuse(self.encode_image(images), self.encode_text(texts)))

    def encode_image(self, images: Float[Tensor, "batch 3 height width"]) -> Tokens:
        """Tokens of pictures as the fusion reads them, computed once for any number of texts."""
        return self._typed(self.image(images), self.image_transform, _IMAGE)

    def encode_text(self, texts: TextBatch) -> Tokens:
        """Tokens of texts as the fusion reads them, computed once for any number of pictures."""
        return self._typed(self.text(texts), self.text_transform, _TEXT)

    def fuse(self, image: Tokens, text: Tokens) -> Float[Tensor, "batch features"]:
        """Returns the pooled pair: the text's part, then the picture's.

        Args:
            image: From `encode_image`.
            text: From `encode_text`, one for each picture.
        """
        return self.fuse_started(self.start(image), text)

    def start(self, image: Tokens) -> StartedImage:
        """What `fuse` computes of pictures alone, once for all their texts."""
        return self.fusion.start(image)

    def fuse_started(self, image: StartedImage, text: Tokens) -> Float[Tensor, "batch features"]:
        """As `fuse`, from what `start` gives."""
        first = Readout.first(text)
        if self.streams == "image":
            seen, rows = self.fusion.join(image, text, text_readout=first)
        else:
            seen, every = self.fusion.join(image, text, text_readout=EVERY_ROW)
            rows = self.block(text.replace(every), first)
        picture = self.block(seen, Readout.first(seen))
        return torch.cat([self.text_pooler(rows[:, 0]), self.image_pooler(picture[:, 0])], dim=-1)

    def rank(self, pooled: Float[Tensor, "batch features"]) -> Float[Tensor, " batch"]:
        """How well each pair matches, by its pooled features; larger is better."""
        if self.rank_output is None:
            raise ValueError("ImageText: expected a model that ranks, got one with answers")
        return self.rank_output(pooled).squeeze(-1)

    def prepare(self, picture: Picture) -> Float32[Tensor, "3 height width"]:
        """Pixels as the tower reads them; see `PictureInput.prepare`."""
        return self.input.prepare(picture)

    def collate(self, prepared: Sequence[Float32[Tensor, "3 _ _"]], texts: Sequence[str]) -> PairBatch:
        """Pictures side by side, each with its text."""
        return PairBatch(torch.stack(list(prepared)), self.text.tokenizer.encode(texts, self.text.longest))

    @torch.inference_mode()
    def answer(self, pictures: Sequence[Picture], questions: Sequence[str]) -> Float32[np.ndarray, "questions answers"]:
        """Probability of each answer to be right, for at least one question; several may be right."""
        batch = self.collate([self.prepare(picture) for picture in pictures], questions)
        batch = batch.to(next(self.parameters()).device)
        return self(batch.images, batch.texts).float().sigmoid().cpu().numpy()

    def with_block(self, block: nn.Module) -> ImageText:
        """The model with another block; all other weights are shared."""
        return exchange_block(self, block)

    def folded(self, precision: Precision = "float32") -> ImageText:
        """The model for serving; see `perception.models.with_block.fold_block`."""
        return fold_block(self, precision)

    def _typed(self, tokens: Tokens, transform: nn.Linear, kind: int) -> Tokens:
        return tokens.replace(transform(tokens.values) + self.token_type_embeddings.weight[kind])
