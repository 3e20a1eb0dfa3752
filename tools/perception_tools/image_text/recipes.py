"""Recipes for pictures with texts. Nothing here imports torch: help is instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from typing_extensions import override

from perception.errors import InputError
from perception_tools.training.bounds import Count, Decay, Depth, Positive, Share, Size, Weight
from perception_tools.training.recipes import (
    BLOCKS,
    BlockRecipe,
    LearningRecipe,
    OptimizerRecipe,
    Schedule,
    ScheduleRecipe,
    check_heads,
)

PASSES = 10
METER_VQA = OptimizerRecipe(betas=(0.9, 0.98), group_rates={"head": 50.0, "fusion": 5.0})
METER_RETRIEVAL = OptimizerRecipe(betas=(0.9, 0.98), group_rates={"head": 5.0, "fusion": 5.0})
"""METER's rates by module, as multiples of that of the towers. `rank_output` learns at the towers' rate there."""
ONE_RATE = OptimizerRecipe(betas=(0.9, 0.98))
METER_SCHEDULE = ScheduleRecipe(warmup_passes=PASSES / 10, warmup_prefix=True)
"""Warm-up over a tenth of training, then a line to 0."""


@dataclass(frozen=True)
class ImageTextRecipe(LearningRecipe):
    """METER without vision-language pre-training, and how it learns (Pang et al., §4.5, §C.5).

    Attributes:
        goal: Answers to questions (VQAv2), or ranking pictures and captions (Flickr30k).
        image_dim: Width of CLIP's picture tower.
        image_depth: Number of its layers that run; METER leaves the last of 12 out.
        image_heads: Number of heads of its attentions.
        patch: Height and width of a patch, pixels.
        picture: Height and width of the pictures that the model sees, pixels.
        text_dim: Width of RoBERTa's text tower.
        text_depth: Number of its layers.
        text_heads: Number of heads of its attentions.
        longest: Maximum number of tokens in a text, with `<s>` and `</s>`.
        positions: Rows of the text tower's table of positions.
        dim: Width of the fusion.
        heads: Number of heads of its attentions.
        layers: Number of its layers in each stream.
        dropout: Dropout of text tower and fusion.
        streams: What passes the block: the picture's tokens, or those of the text too.
        answers_at_least: An answer is in the vocabulary if it is the most frequent one of as many questions.
        false_captions: Number of captions of other pictures that a caption is told from.
        match_weight: Weight of the loss of matching beside that of ranking.
        auto_augment: timm's string of the RandAugment of training pictures, without inversion; empty for none. Their
            pixels are then read again in every pass.
        batch: Number of questions or pictures in a step, over all processes.
    """

    goal: Literal["vqa", "retrieval"] = "vqa"
    image_dim: Size = 768
    image_depth: Depth = 11
    image_heads: Count = 12
    patch: Size = 32
    picture: Size = 224
    text_dim: Size = 768
    text_depth: Depth = 12
    text_heads: Count = 12
    longest: Size = 50
    positions: Size = 514
    dim: Size = 768
    heads: Count = 12
    layers: Count = 6
    dropout: Decay = 0.1
    streams: Literal["image", "both"] = "image"
    answers_at_least: Count = 9
    false_captions: Count = 15
    match_weight: Weight = 0.5
    auto_augment: str = ""
    batch: Count = 512

    passes: Count = PASSES
    learning_rate: Positive = 5e-6
    schedule: Schedule = "timm-poly"
    timm_schedule: ScheduleRecipe = METER_SCHEDULE
    optimizer: OptimizerRecipe = ONE_RATE
    weight_decay: Weight = 0.01
    gradient_clip: Weight = 0.0
    average_decay: Share = 0.0
    validate_average: bool = False
    accumulate: Count = 16
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "16-mixed"

    @override
    def check(self) -> None:
        """As in `LearningRecipe`; patches fill the picture, and heads share their widths evenly."""
        super().check()
        for dim, heads in (
            (self.dim, self.heads),
            (self.image_dim, self.image_heads),
            (self.text_dim, self.text_heads),
        ):
            check_heads(dim, heads)
        if self.picture % self.patch:
            near = max(self.picture // self.patch, 1) * self.patch
            raise InputError(f"picture: expected a multiple of patch={self.patch}, got {self.picture}; give {near}")


PAPER = BlockRecipe(kind="language", init="default", matched=False, residual=False, learning_rate_multiplier=10.0)
"""Nothing around the block, as in the authors' released code for other tasks. Its projections learn ten times as fast
as the image encoder (§C.5)."""
CLIP_RANDAUG = "rand-m3-n2-p1"
"""METER's `clip_randaug`, RandAugment(2, 9): two changes, each surely, of strength 9 of 30 as its code counts, which is
3 of timm's 10. It comes before pictures are resized."""
VQA = ImageTextRecipe(optimizer=METER_VQA, auto_augment=CLIP_RANDAUG)
RETRIEVAL = ImageTextRecipe(
    goal="retrieval", longest=40, accumulate=128, optimizer=METER_RETRIEVAL, auto_augment=CLIP_RANDAUG
)
MICRO_VQA = ImageTextRecipe(
    image_dim=64,
    image_depth=3,
    image_heads=4,
    patch=16,
    picture=64,
    text_dim=64,
    text_depth=2,
    text_heads=4,
    longest=24,
    positions=26,
    dim=64,
    heads=4,
    layers=2,
    dropout=0.0,
    batch=64,
    passes=9,
    learning_rate=1e-3,
    timm_schedule=ScheduleRecipe(warmup_passes=0.5, warmup_prefix=True),
    gradient_clip=1.0,
    average_decay=0.98,
    validate_average=True,
    accumulate=1,
    precision="32-true",
)
"""For small pictures and texts in few words, from scratch on a CPU; its numbers are ours, nothing is in the paper. With
patches of 8 pixels and dropout of 0.1 it answered easy-vqa's questions without a look at the pictures."""
MICRO_RETRIEVAL = replace(MICRO_VQA, goal="retrieval", longest=32, positions=34, batch=16, passes=20)


def _in_the_paper(block: BlockRecipe) -> BlockRecipe:
    return replace(PAPER, kind=block.kind)


_FAMILIES: Mapping[str, tuple[ImageTextRecipe, bool, str]] = {
    "vqa": (VQA, True, "METER on VQAv2, CLIP-B/32 and RoBERTa"),
    "retrieval": (RETRIEVAL, True, "METER on Flickr30k, CLIP-B/32 and RoBERTa"),
    "vqa-micro": (MICRO_VQA, False, "small towers from scratch, questions"),
    "retrieval-micro": (MICRO_RETRIEVAL, False, "small towers from scratch, captions"),
}

RECIPES: dict[str, ImageTextRecipe] = {
    f"image-text/{name}{suffix}": replace(recipe, block=_in_the_paper(block) if is_paper else block)
    for name, (recipe, is_paper, _) in _FAMILIES.items()
    for suffix, (block, _) in BLOCKS.items()
}
"""Word on the command line → recipe. Pang et al., table 5a."""

DESCRIPTIONS = {
    f"image-text/{name}{suffix}": f"{what}, {text}"
    for name, (_, _, what) in _FAMILIES.items()
    for suffix, (_, text) in BLOCKS.items()
}
