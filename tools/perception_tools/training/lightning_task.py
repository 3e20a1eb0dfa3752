"""What learning is the same for every task: the block of a recipe, the optimiser, and what a checkpoint holds."""

from __future__ import annotations

import math
from typing import Any, Generic, TypeVar

import lightning.pytorch as pl
import torch
from torch import nn
from typing_extensions import override

from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.trained_state import (
    check_fingerprints,
    fingerprints,
    frozen_block_weights,
    trainable_state_dict,
)
from perception_tools.training.recipes import BlockRecipe, LearningRecipe

Recipe = TypeVar("Recipe", bound=LearningRecipe)
Model = TypeVar("Model", bound=nn.Module)

FINAL_LEARNING_RATE = 0.01
"""Where the cosine ends, as a part of the peak."""


def build_block(dim: int, block: BlockRecipe, seed: int) -> FrozenBlockAdapter:
    """The block of a recipe behind tokens of this width; its projections draw from PyTorch's global generator."""
    return build_adapter(
        dim,
        kind=block.kind,
        source=block.source,
        frozen=block.frozen,
        post_norm=block.post_norm,
        bias=block.bias,
        init=block.init,
        matched=block.matched,
        residual=block.residual,
        seed=seed,
    )


def parameter_groups(model: nn.Module, recipe: LearningRecipe) -> list[dict]:
    """Trainable parameters by weight decay (matrices only) and learning rate (the block's projections have their own).

    Args:
        model: Its block's parameters are named `block.…`.
        recipe: The numbers.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("block."), parameter.ndim > 1), []).append(parameter)
    multiplier = recipe.block.learning_rate_multiplier
    return [
        {
            "params": parameters,
            "lr": recipe.learning_rate * (multiplier if in_block else 1.0),
            "weight_decay": recipe.weight_decay if is_matrix else 0.0,
        }
        for (in_block, is_matrix), parameters in groups.items()
    ]


def learning_rate_factor(step: int, warmup: int, total: int) -> float:
    """Linear warm-up, then a cosine to `FINAL_LEARNING_RATE`, as a part of the peak."""
    progress = min(step / max(total, 1), 1.0)
    cosine = FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * 0.5 * (1 + math.cos(math.pi * progress))
    return cosine * min(1.0, (step + 1) / max(warmup, 1))


class LearningTask(pl.LightningModule, Generic[Recipe, Model]):
    """A model and how it learns, but for its steps.

    Args:
        recipe: All numbers.
        model: Has its block at `block`.
    """

    def __init__(self, recipe: Recipe, model: Model) -> None:
        super().__init__()
        self.recipe = recipe
        self.model: Model = model

    def learning_rate_factor(self, step: int, total: int) -> float:
        """The learning rate of a step, as a part of the peak."""
        return learning_rate_factor(step, self.recipe.warmup_steps, total)

    @override
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seeds dropout by step, so that a resumed run draws what an unbroken run draws.

        Once an epoch would not do: Lightning does not call `on_train_epoch_start` after a resume.
        """
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.global_step * 1_009 + self.global_rank)

    @override
    def configure_optimizers(self) -> dict:
        """AdamW (Pang et al., §C), its learning rate by step."""
        fused = self.recipe.precision == "32-true"  # in mixed precision Lightning cannot clip before a fused step
        optimizer = torch.optim.AdamW(parameter_groups(self.model, self.recipe), fused=fused)
        total = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.learning_rate_factor(step, total))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @override
    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Leaves frozen blocks out: their fingerprints are enough to find them again."""
        checkpoint["state_dict"] = trainable_state_dict(self)
        checkpoint["blocks"] = fingerprints(self)

    @override
    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Puts the frozen blocks back, so that loading stays strict."""
        check_fingerprints(self, checkpoint["blocks"])
        checkpoint["state_dict"] |= frozen_block_weights(self)
