"""Recipes for classifying pictures. Nothing here imports torch: help is instant."""

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
    Schedule,
    ScheduleRecipe,
)

Fraction = Annotated[float, Bounds(0, 1, above=True)]
"""A part of something that must not be nothing."""
PASSES = 300
SHORT_PASSES = 100
"""Passes of the ablations in Pang et al., tables A, C and D."""


@dataclass(frozen=True)
class AugmentationRecipe:
    """How training pictures are changed, with timm's names and by timm's transforms.

    Attributes:
        scale: Smallest share of a picture's area that a crop shows.
        auto_augment: timm's string for RandAugment; empty for colour jitter alone. With RandAugment timm leaves colour
            jitter out.
        color_jitter: Strength of the colour jitter.
        erasing: Probability that a part of a picture is erased.
        erasing_mode: What takes its place: noise for every pixel (`pixel`), one colour (`rand`), or the mean (`const`).
        repeats: Number of times that a picture stands in a batch, each time changed differently; a pass is as long as
            without, so it sees only a part of the pictures.
        shift: Largest shift in pixels, in place of all the above: pictures are shown as in evaluation, moved by up to
            that, with a mirrored border, and mirrored by chance. They stay in memory: 0.05 ms for each, in place of 1.
        exact: Decode every pixel of a JPEG. Otherwise pictures that are much larger than the crop are decoded at a
            reduced size, which is faster and changes values a little (`perception_datasets.images.cropping`).
    """

    scale: Fraction = 0.08
    auto_augment: str = "rand-m9-mstd0.5-inc1"
    color_jitter: Weight = 0.4
    erasing: Share = 0.25
    erasing_mode: Literal["pixel", "rand", "const"] = "pixel"
    shift: Index = 0
    repeats: Count = 3
    exact: bool = False


DEIT_MIXUP = MixupRecipe(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1)
DEIT_SCHEDULE = ScheduleRecipe(schedule_by="pass", warmup_passes=20, warmup_lr=1e-6, min_lr=1e-5, delay_passes=1)
"""DeiT warms up for 5 passes; Pang et al. for 20. The rate lags by a pass as in the code of both."""


@dataclass(frozen=True)
class ImageRecipe(LearningRecipe):
    """A vision transformer and how it learns, with the numbers of Pang et al. (§4.1, §C.1), which are DeiT's.

    Attributes:
        size: Size of the transformer: `micro` for pictures of 32 or 64 pixels; DeiT's `tiny`, `small`, `base`; `large`.
        patch: Height and width of a patch, pixels.
        picture: Height and width of the pictures that the model sees, pixels.
        crop_pct: In evaluation, the size over that of the resized picture whose centre is seen.
        position: Where the block is: behind the last layer (the paper's), in the middle, or before the first layer.
        pooling: What the head reads: the class token (the paper's), or the mean of all patches.
        drop_path: Probability that a sample skips a part of the last layer; it rises linearly from 0 in the first.
        checkpointing: Compute each layer again for its gradient instead of keeping what it computed: less memory.
        batch: Number of pictures in a step, over all processes.
        augmentation: How training pictures are changed.
        mixup: Mixup, CutMix and label smoothing.
    """

    size: Literal["micro", "tiny", "small", "base", "large"] = "small"
    patch: Size = 16
    picture: Size = 224
    crop_pct: Fraction = 0.875
    position: Literal["tail", "middle", "head"] = "tail"
    pooling: Literal["cls", "mean"] = "cls"
    drop_path: Decay = 0.1
    checkpointing: bool = False
    batch: Count = 1024
    augmentation: AugmentationRecipe = AugmentationRecipe()
    mixup: MixupRecipe = DEIT_MIXUP

    passes: Count = PASSES
    learning_rate: Positive = 1e-3
    schedule: Schedule = "timm-cosine"
    timm_schedule: ScheduleRecipe = DEIT_SCHEDULE
    weight_decay: Weight = 0.05
    gradient_clip: Weight = 0.0
    average_decay: Share = 0.99996
    validate_average: bool = False
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "16-mixed"

    @override
    def check(self) -> None:
        """As in `LearningRecipe`; patches fill the picture, and pictures that are mixed come in pairs."""
        super().check()
        if self.picture % self.patch:
            near = max(self.picture // self.patch, 1) * self.patch
            raise InputError(
                f"picture: expected a multiple of patch={self.patch}, got {self.picture}; give --picture {near}, or "
                "another patch"
            )
        if (self.mixup.mixup_alpha or self.mixup.cutmix_alpha) and self.batch % (2 * self.accumulate):
            raise InputError(
                f"batch: expected a multiple of {2 * self.accumulate}, because pictures are mixed in pairs, in each of "
                f"accumulate={self.accumulate} parts of a step, got {self.batch}; give another"
            )


PAPER = BlockRecipe(kind="language", init="trunc_normal", matched=False, residual=False)
"""The block as the authors' image code has it: no residual around it, nothing matched, projections with std 0.02."""


def _as_in_the_paper(block: BlockRecipe) -> BlockRecipe:
    return replace(PAPER, kind=block.kind, frozen=block.frozen)


VARIANTS: Mapping[str, tuple[BlockRecipe, str]] = {
    suffix: (_as_in_the_paper(block), text) for suffix, (block, text) in {**BLOCKS, **TRAINED_BLOCKS}.items()
}
"""End of a recipe's name → its block, and what to say of it."""

MICRO = ImageRecipe(
    size="micro",
    patch=8,
    picture=32,
    crop_pct=1.0,
    drop_path=0.0,
    batch=64,
    augmentation=AugmentationRecipe(shift=4, repeats=1),
    mixup=MixupRecipe(label_smoothing=0.1),
    passes=16,
    timm_schedule=ScheduleRecipe(schedule_by="step", warmup_passes=1, warmup_lr=1e-6, min_lr=1e-5),
    gradient_clip=1.0,
    average_decay=0.998,
    validate_average=True,
    validate_every=4,
    precision="32-true",
)
"""For small pictures and few of them, on a CPU: 10,000 pictures take three minutes of a core. Its numbers are ours,
chosen on a tenth of the training pictures of CIFAR-10; nothing of it is in the paper."""

_MICRO_BLOCKS = {
    suffix: (replace(block, matched=True, residual=True, init="default"), text)
    for suffix, (block, text) in VARIANTS.items()
}
_SIZES: Mapping[str, tuple[ImageRecipe, Mapping[str, tuple[BlockRecipe, str]], str]] = {
    "vit-micro": (MICRO, _MICRO_BLOCKS, "a small ViT for pictures of 32 pixels"),
    "vit-t": (ImageRecipe(size="tiny"), VARIANTS, "ViT-T/16"),
    "vit-s": (ImageRecipe(size="small"), VARIANTS, "ViT-S/16"),
    "vit-b": (ImageRecipe(size="base"), VARIANTS, "ViT-B/16"),
}

RECIPES: dict[str, ImageRecipe] = {
    f"image/{name}{suffix}": replace(recipe, block=block)
    for name, (recipe, variants, _) in _SIZES.items()
    for suffix, (block, _) in variants.items()
} | {
    f"image/{name}{suffix}-100": replace(recipe, block=block, passes=SHORT_PASSES)
    for name, (recipe, variants, _) in _SIZES.items()
    if name != "vit-micro"
    for suffix, (block, _) in variants.items()
}
"""Word on the command line → recipe. Pang et al., Tables 1, 6, A, B; `-100` are the short trainings of A, C and D."""

DESCRIPTIONS = {
    f"image/{name}{suffix}": f"{what}, {text}"
    for name, (_, variants, what) in _SIZES.items()
    for suffix, (_, text) in variants.items()
} | {
    f"image/{name}{suffix}-100": f"{what}, {text}; {SHORT_PASSES} passes"
    for name, (_, variants, what) in _SIZES.items()
    if name != "vit-micro"
    for suffix, (_, text) in variants.items()
}
