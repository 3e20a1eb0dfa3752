"""Recipes for recognising actions. Nothing here imports torch: help is instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from typing_extensions import override

from perception.errors import InputError
from perception_tools.training.bounds import Bounds, Count, Decay, Index, Positive, Share, Size, Weight
from perception_tools.training.recipes import (
    BLOCKS,
    TRAINED_BLOCKS,
    BlockRecipe,
    LearningRecipe,
    MixupRecipe,
    OptimizerRecipe,
    Schedule,
    ScheduleRecipe,
)

Fraction = Annotated[float, Bounds(0, 1, above=True)]
"""A part of something that must not be nothing."""
Order = Literal["kept", "shuffled", "reversed", "still"]
"""Order of a clip's images: as they are, at random, backwards, or the one in the middle in place of all."""


@dataclass(frozen=True)
class ClipAugmentation:
    """How training clips are changed; all images of a clip alike.

    Attributes:
        scale: Smallest share of an image's area that a crop shows.
        auto_augment: timm's string for RandAugment; empty for none.
        erasing: Probability that a part of all images is erased.
        erasing_mode: What takes its place: noise for every pixel (`pixel`), one colour (`rand`), or the mean (`const`).
        mirror: Probability of a mirror image. Something-Something has actions to the left and to the right, so none.
        views: Number of differently changed copies of a clip in a step, of the same images (VideoMAE's `num_sample`).
            They count neither for the batch nor for the learning rate.
    """

    scale: Fraction = 0.08
    auto_augment: str = "rand-m7-n4-mstd0.5-inc1"
    erasing: Share = 0.25
    erasing_mode: Literal["pixel", "rand", "const"] = "pixel"
    mirror: Share = 0.0
    views: Count = 2


SSV2_MIXUP = MixupRecipe(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1)
SSV2_SCHEDULE = ScheduleRecipe(warmup_passes=5, warmup_prefix=True, min_lr=1e-6 * 24 / 256)
"""Rates are VideoMAE's for 256 clips, times the batch over 256."""
LAYER_DECAY = OptimizerRecipe(layer_decay=0.7)


@dataclass(frozen=True)
class ActionRecipe(LearningRecipe):
    """VideoMAE's transformer and how it is fine-tuned on Something-Something v2, as Pang et al. did (§4.3, §C.3).

    Attributes:
        size: Size of the transformer: `micro` for small clips on a CPU; VideoMAE's `small`, `base` and `large`.
        patch: Height and width of a tubelet, pixels.
        tubelet: Number of images of a tubelet.
        images: Number of images of a clip.
        picture: Height and width of the images that the model sees, pixels.
        order: Order of the images in training and evaluation; all but `kept` are controls.
        shorter_side: Shorter side in pixels to which images are resized as they are decoded; 0 leaves them as they are.
        drop_path: Probability that a sample skips a part of the last layer; it rises linearly from 0 in the first.
        checkpointing: Compute each layer again for its gradient instead of keeping what it computed: less memory.
        rows_at_once: Number of rows that are as wide as the language block at a time: little memory for a third forward
            pass through it; 0 computes and keeps all (`perception.frozen.chunked`).
        mask_ratio: Part of the places that is hidden in pre-training; 0 in recipes that learn actions.
        batch: Number of clips in a step, over all processes.
        augmentation: How training clips are changed.
        mixup: Mixup, CutMix and label smoothing.
    """

    size: Literal["micro", "small", "base", "large"] = "small"
    patch: Size = 16
    tubelet: Size = 2
    images: Size = 16
    picture: Size = 224
    order: Order = "kept"
    shorter_side: Index = 0
    drop_path: Decay = 0.1
    checkpointing: bool = False
    rows_at_once: Index = 392
    mask_ratio: Decay = 0.0
    batch: Count = 24
    augmentation: ClipAugmentation = ClipAugmentation()
    mixup: MixupRecipe = SSV2_MIXUP

    passes: Count = 40
    learning_rate: Positive = 1e-3 * 24 / 256
    schedule: Schedule = "timm-cosine"
    timm_schedule: ScheduleRecipe = SSV2_SCHEDULE
    optimizer: OptimizerRecipe = LAYER_DECAY
    weight_decay: Weight = 0.05
    gradient_clip: Weight = 0.0
    average_decay: Share = 0.0
    validate_average: bool = False
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "16-mixed"

    @override
    def check(self) -> None:
        """As in `LearningRecipe`; tubelets fill the clip, and clips that are mixed come in pairs."""
        super().check()
        for name, length, part in (("picture", self.picture, self.patch), ("images", self.images, self.tubelet)):
            if length % part:
                raise InputError(
                    f"{name}: expected a multiple of {part}, the size of a tubelet, got {length}; give --{name} "
                    f"{max(length // part, 1) * part}"
                )
        copies = self.batch * self.augmentation.views
        if (self.mixup.mixup_alpha or self.mixup.cutmix_alpha) and copies % (2 * self.accumulate):
            raise InputError(
                f"batch: expected batch × augmentation.views to be a multiple of {2 * self.accumulate}, because clips "
                f"are mixed in pairs, in each of accumulate={self.accumulate} parts of a step, got {copies}"
            )


PAPER = BlockRecipe(kind="language", init="default", matched=False, residual=False)
"""The block as the authors' code for clips has it: no residual around it, nothing matched, PyTorch's initialisation."""

VARIANTS: Mapping[str, tuple[BlockRecipe, str]] = {
    **{suffix: (replace(PAPER, kind=block.kind), text) for suffix, (block, text) in BLOCKS.items()},
    "-llama-15": (
        replace(PAPER, source="smollm2#15"),
        "with a frozen language block from the middle, layer 15 as in the released code (SmolLM2's by default)",
    ),
    "-random-ft": (replace(PAPER, kind="random", frozen=False), TRAINED_BLOCKS["-random-ft"][1]),
}
"""End of a recipe's name → its block, and what to say of it. The paper's text has the last block, its code layer 15."""

BASE = replace(
    ActionRecipe(),
    size="base",
    batch=12,
    passes=30,
    learning_rate=5e-4 * 12 / 256,
    timm_schedule=replace(SSV2_SCHEDULE, min_lr=1e-6 * 12 / 256),
    optimizer=OptimizerRecipe(layer_decay=0.75),
)

MICRO = replace(
    ActionRecipe(),
    size="micro",
    patch=24,
    images=8,
    picture=48,
    shorter_side=56,
    drop_path=0.0,
    rows_at_once=0,
    batch=16,
    augmentation=ClipAugmentation(scale=0.5, auto_augment="", erasing=0.0, views=1),
    mixup=MixupRecipe(label_smoothing=0.1),
    passes=40,
    learning_rate=2e-3,
    timm_schedule=ScheduleRecipe(warmup_passes=3, warmup_prefix=True, min_lr=1e-5),
    optimizer=OptimizerRecipe(),
    gradient_clip=1.0,
    average_decay=0.99,
    validate_average=True,
    validate_every=5,
    precision="32-true",
)
"""For a few hundred small clips, on a CPU, from scratch; its numbers are ours, nothing of it is in the paper."""

_MICRO_BLOCKS = {
    suffix: (replace(block, matched=True, residual=True), text) for suffix, (block, text) in VARIANTS.items()
}
_SIZES: Mapping[str, tuple[ActionRecipe, Mapping[str, tuple[BlockRecipe, str]], str]] = {
    "micro": (MICRO, _MICRO_BLOCKS, "a small transformer for clips of 8 images with 48 pixels"),
    "ssv2-s": (ActionRecipe(), VARIANTS, "VideoMAE ViT-S on Something-Something v2"),
    "ssv2-b": (BASE, VARIANTS, "VideoMAE ViT-B on Something-Something v2"),
}

_PRETRAINING = ActionRecipe(
    block=BlockRecipe(kind="none"),
    mask_ratio=0.9,
    drop_path=0.0,
    batch=1024,
    augmentation=ClipAugmentation(scale=0.5, auto_augment="", erasing=0.0, views=1),
    mixup=MixupRecipe(),
    passes=2400,
    learning_rate=1.5e-4 * 1024 / 256,
    timm_schedule=ScheduleRecipe(warmup_passes=40, warmup_prefix=True, min_lr=1e-5),
    optimizer=OptimizerRecipe(betas=(0.9, 0.95)),
)
"""VideoMAE's pre-training on Something-Something v2 (its appendix). It sees every other image of a part of a clip, and
crops at four scales; here images are of all segments, and crops of at least half of the area."""

PRETRAINING: Mapping[str, tuple[ActionRecipe, str]] = {
    "video/pretrain-ssv2-s": (_PRETRAINING, "pre-training of VideoMAE ViT-S on Something-Something v2"),
    "video/pretrain-ssv2-b": (replace(_PRETRAINING, size="base"), "pre-training of VideoMAE ViT-B on the same"),
    "video/pretrain-micro": (
        replace(
            MICRO,
            block=BlockRecipe(kind="none"),
            mask_ratio=0.75,
            mixup=MixupRecipe(),
            optimizer=_PRETRAINING.optimizer,
        ),
        "pre-training of the encoder of video/micro",
    ),
}
"""Word on the command line → recipe and what to say of it. `--encoder-run` takes such a run."""

RECIPES: dict[str, ActionRecipe] = {
    f"video/{name}{suffix}": replace(recipe, block=block)
    for name, (recipe, variants, _) in _SIZES.items()
    for suffix, (block, _) in variants.items()
} | {name: recipe for name, (recipe, _) in PRETRAINING.items()}
"""Word on the command line → recipe. Pang et al., Table 3 and Table B."""

DESCRIPTIONS = {
    f"video/{name}{suffix}": f"{what}, {text}"
    for name, (_, variants, what) in _SIZES.items()
    for suffix, (_, text) in variants.items()
} | {name: text for name, (_, text) in PRETRAINING.items()}
