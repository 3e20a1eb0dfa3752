"""What learning is the same for every task: the optimiser, seeds and logs of a step, and what a checkpoint holds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from perception.errors import InputError
from perception.frozen.trained_state import (
    check_fingerprints,
    fingerprints,
    frozen_block_weights,
    trainable_state_dict,
)
from perception_tools.training.optim import LearningRate, clip_gradients, make_optimizer
from perception_tools.training.recipes import LearningRecipe

Recipe = TypeVar("Recipe", bound=LearningRecipe)
Model = TypeVar("Model", bound=nn.Module)


class LearningTask(pl.LightningModule, Generic[Recipe, Model]):
    """A model and how it learns, but for its steps.

    Attributes:
        clipped_apart: Named groups of parameters whose gradients are clipped each by itself.
        gradient_norm: Norm of the step's gradient before it was clipped; None until there is one.

    Args:
        recipe: All numbers.
        model: What is trained.
    """

    clipped_apart: ClassVar[tuple[str, ...]] = ()

    def __init__(self, recipe: Recipe, model: Model) -> None:
        super().__init__()
        self.recipe = recipe
        self.model: Model = model
        self.gradient_norm: Tensor | None = None
        self._logged: dict[str, Tensor | float] = {}

    def parameter_groups(self) -> dict[str, Sequence[nn.Parameter]]:
        """Groups of parameters for which a recipe may set a rate or a weight decay; all others are the group `rest`."""
        block = getattr(self.model, "block", None)
        return {"block": list(block.parameters())} if isinstance(block, nn.Module) else {}

    @property
    def trained(self) -> float:
        """Share of training that is done."""
        return self.global_step / max(self.trainer.estimated_stepping_batches, 1)

    def step_seed(self, batch_idx: int) -> int:
        """Seed of everything random in a step: a resumed run then draws what an unbroken run draws."""
        part = batch_idx % self.recipe.accumulate
        return self.recipe.seed * 1_000_003 + self.global_step * 1_009 + self.global_rank + part * 100_000_007

    @override
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seeds dropout by step.

        Once an epoch would not do: Lightning does not call `on_train_epoch_start` after a resume.
        """
        torch.manual_seed(self.step_seed(batch_idx))
        if batch_idx % self.recipe.accumulate == 0:
            self._logged = {}
            self.gradient_norm = None

    def share(self, weight: Tensor) -> Tensor | float:
        """Factor by which the mean over processes (DDP's gradient) becomes the mean weighted by `weight`.

        Args:
            weight: Weight of this process's part of the batch.
        """
        if self.trainer.world_size == 1:
            return 1.0
        everywhere = cast(Tensor, self.all_gather(weight)).sum()
        return weight * self.trainer.world_size / everywhere

    def log_step(self, numbers: Mapping[str, Tensor], share: Tensor | float = 1.0) -> None:
        """Logs numbers of a training step as the mean over all processes and all parts of the step.

        Args:
            numbers: Values by name, over this process's part of the batch; all processes log the same names.
            share: From `share`, for a weighted mean.
        """
        if self.trainer.world_size > 1:
            stacked = torch.stack([value.detach().float() for value in numbers.values()]) * share
            everywhere = cast(Tensor, self.trainer.strategy.reduce(stacked, reduce_op="mean"))
            numbers = dict(zip(numbers, everywhere.unbind(), strict=True))
        for name, value in numbers.items():
            self._logged[name] = self._logged.get(name, 0.0) + value.detach() / self.recipe.accumulate
        self.log_dict(self._logged, batch_size=1)

    def compiled_parts(self) -> Sequence[nn.Module]:
        """Parts of the model that `compile_model` compiles; a new shape of their input compiles them again."""
        block = getattr(self.model, "block", None)
        return [block] if isinstance(block, nn.Module) else []

    def compile_model(self, backend: str = "inductor") -> None:
        """Compiles `compiled_parts` in place, at their first use; names and values of the weights stay as they are.

        Args:
            backend: Name of a backend of `torch.compile`.

        Raises:
            InputError: The backend needs a C++ compiler, and there is none.
        """
        compiler = os.environ.get("CXX", "g++")
        if backend == "inductor" and shutil.which(compiler) is None:
            raise InputError(
                f"torch.compile: expected the C++ compiler {compiler}, found none; install one, set CXX to its path, "
                "or train without compiling"
            )
        for part in self.compiled_parts():
            part.compile(backend=backend)

    @override
    def configure_optimizers(self) -> dict:
        """The recipe's optimiser and learning rate."""
        optimizer = make_optimizer(self.model, self.parameter_groups(), self.recipe)
        rate = LearningRate(optimizer, self.recipe, int(self.trainer.estimated_stepping_batches))
        schedule = {"scheduler": rate, "interval": "step", "name": "learning_rate"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    @override
    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Sets the rates for the next step."""
        scheduler.set_step(self.global_step)

    @override
    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips the gradients of `clipped_apart` each by itself, and all others together; keeps their norm."""
        groups = self.parameter_groups()
        apart = [groups[name] for name in self.clipped_apart if name in groups]
        self.gradient_norm = clip_gradients(self.model, apart, gradient_clip_val or 0.0)

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
