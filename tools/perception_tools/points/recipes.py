"""Recipes for classifying point clouds. Nothing here imports torch: help is instant."""

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

Stretch = Annotated[float, Bounds(1, 10)]
"""A factor by which something is stretched, or shrunk by as much."""
PASSES = 301
"""The authors' code runs epochs 0 to 300, both included."""


@dataclass(frozen=True)
class AugmentationRecipe:
    """How training clouds are changed in every pass; 1,024 of 1,200 points, and a stretch and a shift of each axis.

    Attributes:
        oversample: Number of points that farthest point sampling takes of a cloud; of these, a random part is seen.
        stretch: Largest factor of each axis; the smallest is its inverse.
        shift: Largest shift along each axis, where clouds have radius 1.
        redraw: Whether points that are drawn from a surface, or inside voxels, are drawn anew in every pass. If not, a
            cloud is read and sampled once as long as there is memory (`keep`).
    """

    oversample: Size = 1200
    stretch: Stretch = 1.5
    shift: Weight = 0.2
    redraw: bool = False


UNMIXED = MixupRecipe()
SCHEDULE = ScheduleRecipe(
    schedule_by="pass", warmup_passes=10, warmup_lr=1e-6, min_lr=1e-6, cooldown_passes=1, delay_passes=1
)
"""A cosine over 300 passes; the code steps it after each epoch, so that the rate lags by one."""


@dataclass(frozen=True)
class PointRecipe(LearningRecipe):
    """Point-BERT and how it learns, with the numbers of Pang et al. (§4.2, §C.2), which are Point-BERT's.

    Attributes:
        size: Size of the transformer: Point-BERT's `small`, or `micro` for small sets on a CPU.
        points: Number of points of a cloud that the model sees.
        groups: Number of groups, which are the tokens.
        group_size: Number of points in a group.
        scaling: Whether clouds are moved and scaled into the unit sphere, or stay in metres.
        variant: Variant of ScanObjectNN that is read; None for other data.
        head_width: Width between the two layers of the head.
        dropout: Probability that a feature between them is dropped.
        drop_path: Probability that a sample skips a part of the last layer; it rises linearly from 0 in the first.
        batch: Number of clouds in a step, over all processes.
        augmentation: How training clouds are changed.
        mixup: Label smoothing, spread over all classes; clouds are not mixed.
        mask_ratio: Part of the groups that are hidden in pre-training, whose points are to be predicted; with 0 a
            classifier is trained.
    """

    size: Literal["micro", "small"] = "small"
    points: Size = 1024
    groups: Size = 64
    group_size: Size = 32
    scaling: Literal["unit-sphere", "none"] = "unit-sphere"
    variant: Literal["bg", "only", "t50"] | None = None
    head_width: Size = 256
    dropout: Share = 0.5
    drop_path: Decay = 0.1
    batch: Count = 32
    augmentation: AugmentationRecipe = AugmentationRecipe()
    mixup: MixupRecipe = UNMIXED
    mask_ratio: Decay = 0.0

    passes: Count = PASSES
    learning_rate: Positive = 5e-4
    schedule: Schedule = "timm-cosine"
    timm_schedule: ScheduleRecipe = SCHEDULE
    weight_decay: Weight = 0.05
    gradient_clip: Weight = 10.0
    average_decay: Share = 0.0
    validate_average: bool = False
    patience: Index = 0

    @override
    def check(self) -> None:
        """As in `LearningRecipe`; a part can be chosen of the points that are sampled, and clouds are not mixed."""
        super().check()
        if self.augmentation.oversample < self.points:
            raise InputError(
                f"augmentation.oversample: expected at least points={self.points}, got {self.augmentation.oversample}; "
                f"give --augmentation.oversample {round(1.2 * self.points)}"
            )
        if self.mask_ratio and self.block.kind != "none":
            raise InputError(
                f"block.kind: expected none in pre-training, got {self.block.kind}; the block comes with the classifier"
            )
        if self.mixup.mixup_alpha or self.mixup.cutmix_alpha:
            raise InputError(
                "mixup: expected alphas of 0, because clouds cannot be mixed point by point; leave them out"
            )


PAPER_BLOCK = BlockRecipe(matched=False, residual=False, learning_rate_multiplier=0.1)
"""The block as the paper trains it: the two projections learn at 5e-5, a tenth of the rate (§C.2)."""
CODE_OPTIMIZER = OptimizerRecipe(group_rates={"no_decay": 0.1}, group_weight_decays={"block": 0.0})
"""What the authors' code does instead: biases, norms and the class token learn at a tenth of the rate, with a block and
without; Point-BERT's own code does not do that."""
CODE_MULTIPLIER = 0.5
"""Rate of the projections in the authors' code, over the recipe's; they do not decay there."""

_BLOCK_KINDS: Mapping[str, tuple[BlockRecipe, str]] = {
    **{suffix: (replace(PAPER_BLOCK, kind=block.kind), text) for suffix, (block, text) in BLOCKS.items()},
    "-random-ft": (replace(PAPER_BLOCK, kind="random", frozen=False), TRAINED_BLOCKS["-random-ft"][1]),
}

MICRO = PointRecipe(
    size="micro",
    points=192,
    groups=12,
    group_size=24,
    head_width=64,
    dropout=0.2,
    drop_path=0.05,
    batch=64,
    augmentation=AugmentationRecipe(oversample=256, stretch=1.25, shift=0.1),
    mixup=MixupRecipe(label_smoothing=0.1),
    passes=6,
    learning_rate=2e-3,
    timm_schedule=ScheduleRecipe(schedule_by="step", warmup_passes=1, warmup_lr=1e-5, min_lr=1e-5),
    gradient_clip=1.0,
)
"""For a few thousand clouds on a CPU; its numbers are ours, nothing of it is in the paper."""

_VARIANTS: Mapping[Literal["bg", "only", "t50"], str] = {"bg": "OBJ_BG", "only": "OBJ_ONLY", "t50": "PB_T50_RS"}
_SETS: Mapping[str, tuple[PointRecipe, str]] = {
    "modelnet40-1k": (PointRecipe(), "Point-BERT on ModelNet40, 1,024 points"),
    "modelnet40-4k": (
        PointRecipe(points=4096, groups=256, augmentation=AugmentationRecipe(oversample=4800)),
        "Point-BERT on ModelNet40, 4,096 points",
    ),
    "modelnet40-8k": (
        PointRecipe(points=8192, groups=512, augmentation=AugmentationRecipe(oversample=8192)),
        "Point-BERT on ModelNet40, 8,192 points",
    ),
    **{
        f"scanobjectnn-{variant}": (
            PointRecipe(
                points=2048,
                groups=128,
                scaling="none",
                variant=variant,
                augmentation=AugmentationRecipe(oversample=2400),
            ),
            f"Point-BERT on ScanObjectNN's {name}",
        )
        for variant, name in _VARIANTS.items()
    },
}
"""Data sets of Table 2. With 2,048 points there are 128 groups, as in Point-BERT's configurations."""


def _as_code(recipe: PointRecipe) -> PointRecipe:
    block = replace(recipe.block, learning_rate_multiplier=CODE_MULTIPLIER)
    return replace(recipe, block=block, optimizer=CODE_OPTIMIZER)


def _of_set(recipe: PointRecipe) -> dict[str, tuple[PointRecipe, str]]:
    """End of a recipe's name → the recipe, and what to say of its block."""
    made = {suffix: (replace(recipe, block=block), text) for suffix, (block, text) in _BLOCK_KINDS.items()}
    for suffix in ("", "-llama"):
        with_block, text = made[suffix]
        made[f"{suffix}-code"] = (_as_code(with_block), f"{text}; rates of the authors' code, not of their paper")
    return made


_NAMED: Mapping[str, tuple[PointRecipe, str]] = {
    f"points/{name}{suffix}": (made, f"{what}, {text}")
    for name, (recipe, what) in _SETS.items()
    for suffix, (made, text) in _of_set(recipe).items()
} | {
    f"points/micro{suffix}": (replace(MICRO, block=block), f"a small Point-BERT, 192 points, {text}")
    for suffix, (block, text) in BLOCKS.items()
}

_PRETRAINING: Mapping[str, tuple[PointRecipe, str]] = {
    "points/pretrain-shapenet55": (
        PointRecipe(block=BLOCKS[""][0], mask_ratio=0.35, batch=128),
        "Point-BERT without labels, 1,024 points: hidden groups are predicted point by point",
    ),
    "points/pretrain-micro": (
        replace(MICRO, block=BLOCKS[""][0], mask_ratio=0.35, mixup=UNMIXED, passes=10),
        "the small Point-BERT without labels",
    ),
}
"""Point-BERT hides 25 to 45 % and predicts the codes of a discrete VAE; see `PointMaskedAutoencoder`."""
_NAMED = {**_NAMED, **_PRETRAINING}

RECIPES: dict[str, PointRecipe] = {name: recipe for name, (recipe, _) in _NAMED.items()}
"""Word on the command line → recipe. Pang et al., Table 2 and table B."""

DESCRIPTIONS = {name: text for name, (_, text) in _NAMED.items()}
