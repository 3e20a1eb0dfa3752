"""Optimiser, parameter groups, learning rate and gradient clipping of a recipe, assembled from timm's parts.

A parameter belongs to three things at once: a group that the task names (`block`, `detector`; all others are `rest`),
the parameters with or without weight decay, and with layer decay a layer. timm decides the last two
(`param_groups_weight_decay`, `param_groups_layer_decay`); `parameter_groups` crosses them with the named groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from jaxtyping import Float
from timm.optim import (
    create_optimizer_v2,  # pyright: ignore[reportPrivateImportUsage]
    list_optimizers,  # pyright: ignore[reportPrivateImportUsage]
    param_groups_layer_decay,  # pyright: ignore[reportPrivateImportUsage]
    param_groups_weight_decay,  # pyright: ignore[reportPrivateImportUsage]
)
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.scheduler.multistep_lr import MultiStepLRScheduler
from timm.scheduler.poly_lr import PolyLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from perception.errors import InputError
from perception_tools.training.recipes import LearningRecipe, ScheduleRecipe

NamedGroups = Mapping[str, Sequence[nn.Parameter]]

REST = "rest"
"""Name of the group of all parameters that the task does not name."""
WITHOUT_DECAY = ("pos_embed", "cls_token")
"""Last parts of parameter names that get no weight decay in any model."""
FINAL_PART = 0.01
"""Where `cosine` ends, as a part of the peak."""
STEPS = (1 / 3, 1 / 2, 2 / 3)
"""Parts of training after which `steps` divides the rate by 10 (Pang et al., §C.6: passes 10, 15 and 20 of 30)."""
FUSED = ("adam", "adamw")
"""Optimisers with a fused kernel, by timm's names."""


def make_optimizer(model: nn.Module, named: NamedGroups, recipe: LearningRecipe) -> Optimizer:
    """The recipe's optimiser over the trainable parameters of a model.

    Args:
        model: What is trained.
        named: Groups of its parameters that may have rates and decays of their own.
        recipe: The numbers.

    Raises:
        InputError: timm has no such optimiser, or the recipe names a group that the model does not have.
    """
    opt = recipe.optimizer.opt
    if opt not in list_optimizers():
        near = get_close_matches(opt, list_optimizers(), 1)
        hint = f"did you mean {near[0]}?" if near else "adamw is the usual one"
        raise InputError(f"optimizer.opt: expected an optimiser of timm.optim.list_optimizers(), got {opt!r}; {hint}")
    # In mixed precision Lightning cannot clip the gradient before a fused step.
    fused: dict[str, Any] = {"fused": recipe.precision == "32-true"} if opt in FUSED else {}
    return create_optimizer_v2(
        parameter_groups(model, named, recipe),
        opt,
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        betas=recipe.optimizer.betas,
        eps=recipe.optimizer.eps,
        **fused,
    )


def parameter_groups(model: nn.Module, named: NamedGroups, recipe: LearningRecipe) -> list[dict]:
    """The trainable parameters as groups for an optimiser, in the order in which the model names them first.

    Biases, other parameters of one axis, position embeddings, class tokens and what any part of the model lists in
    timm's `no_weight_decay()` do not decay. A group's rate is the recipe's times its own; with layer decay, timm's
    schedulers multiply it by the group's `lr_scale` too.

    Args:
        model: What is trained. For layer decay it has timm's `group_matcher(coarse)`, whose patterns capture layers'
            numbers and nothing else (timm reads all that they capture as numbers); parameters that it does not match
            count as the last layer.
        named: Groups of its parameters; no parameter is in two of them.
        recipe: The numbers.

    Raises:
        InputError: The recipe names a group that is not there, or wants layer decay of a model without layers.
    """
    names = {id(parameter): name for name, parameters in named.items() for parameter in parameters}
    if len(names) != sum(map(len, named.values())):
        raise ValueError(f"parameter groups {', '.join(named)}: expected every parameter in one of them, got it in two")
    optimizer = recipe.optimizer
    _check_names("group_rates", optimizer.group_rates, (*named, REST))
    _check_names("group_weight_decays", optimizer.group_weight_decays, (*named, REST))
    rates = {"block": recipe.block.learning_rate_multiplier, **optimizer.group_rates}
    decisions = _scale_and_decay(model, optimizer.layer_decay)
    scales = sorted({scale for scale, _ in decisions.values()})
    groups: dict[str, dict] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            name, (scale, does_decay) = names.get(id(parameter), REST), decisions[id(parameter)]
            layer = f"/layer_{scales.index(scale):02d}" if len(scales) > 1 else ""
            key = name + layer + ("" if does_decay else "/no_decay")
            group = {
                "params": [],
                "name": key,
                "lr": recipe.learning_rate * rates.get(name, 1.0),
                "lr_scale": scale,
                "weight_decay": optimizer.group_weight_decays.get(name, recipe.weight_decay) if does_decay else 0.0,
            }
            groups.setdefault(key, group)["params"].append(parameter)
    return list(groups.values())


def _scale_and_decay(model: nn.Module, layer_decay: float) -> dict[int, tuple[float, bool]]:
    """Rate scale of its layer, and whether it decays, for each trainable parameter by its id."""
    without_decay = [name for name, _ in model.named_parameters() if name.split(".")[-1] in WITHOUT_DECAY]
    for path, module in model.named_modules():
        listed: Callable[[], Iterable[str]] | None = getattr(module, "no_weight_decay", None)
        without_decay += [f"{path}.{name}" if path else name for name in (listed() if listed else ())]
    groups: list[dict[str, Any]]
    if layer_decay == 1:
        groups = param_groups_weight_decay(model, 1.0, no_weight_decay_list=without_decay)
    elif hasattr(model, "group_matcher"):
        groups = param_groups_layer_decay(model, 1.0, no_weight_decay_list=without_decay, layer_decay=layer_decay)
    else:
        raise InputError(
            f"layer_decay={layer_decay}: expected a model that names its layers (timm's group_matcher), "
            f"got {type(model).__name__}, which does not; leave layer_decay at 1"
        )
    return {
        id(parameter): (group.get("lr_scale", 1.0), group["weight_decay"] > 0)
        for group in groups
        for parameter in group["params"]
    }


class LearningRate:
    """The learning rate of every group as a function of the optimiser steps done so far; it has no other state.

    Args:
        optimizer: Its groups' rates are set.
        recipe: The numbers.
        total: Optimiser steps of the whole training.
    """

    def __init__(self, optimizer: Optimizer, recipe: LearningRecipe, total: int) -> None:
        self.optimizer, self.recipe, self.total = optimizer, recipe, max(total, 1)
        self.scheduler = _scheduler(optimizer, recipe, self.total)
        self.set_step(0)

    def set_step(self, step: int) -> None:
        """Sets the rates for the next step.

        Args:
            step: Steps done so far.
        """
        schedule = self.recipe.timm_schedule
        if self.recipe.schedule.startswith("timm") and schedule.schedule_by == "pass":
            step = max(step * self.recipe.passes // self.total - schedule.delay_passes, 0)
        self.scheduler.step_update(step)

    def state_dict(self) -> dict:
        """Nothing, for the checkpoint: the number of steps says all."""
        return {}

    def load_state_dict(self, state_dict: dict) -> None:
        """Nothing to load; what checkpoints of earlier versions hold here is not needed."""


def _scheduler(optimizer: Optimizer, recipe: LearningRecipe, total: int) -> Scheduler:
    """Timm's scheduler of a recipe, in steps or in passes."""
    if not recipe.schedule.startswith("timm") and recipe.timm_schedule != ScheduleRecipe():
        raise InputError(
            f"schedule={recipe.schedule}: expected timm_schedule as it is by default, because only timm's schedules "
            f"(timm-cosine, timm-poly, timm-multistep) read it, got {recipe.timm_schedule}; choose one of them"
        )
    if recipe.schedule == "cosine":
        return _ScaledRate(optimizer, lambda step: cosine_factor(step, recipe.warmup_steps, total))
    if recipe.schedule == "steps":
        return _ScaledRate(optimizer, lambda step: stepped_factor(step, recipe.warmup_steps, total))
    schedule = recipe.timm_schedule
    if recipe.warmup_steps:
        raise InputError(
            f"schedule={recipe.schedule}: expected its warm-up in warmup_passes, "
            f"got warmup_steps={recipe.warmup_steps}; set warmup_steps to 0"
        )
    by_step = schedule.schedule_by == "step"
    unit = total / recipe.passes if by_step else 1
    warmup = round(schedule.warmup_passes * unit)
    decay = round((recipe.passes - schedule.cooldown_passes) * unit) - (warmup if schedule.warmup_prefix else 0)
    if decay < 1:
        raise InputError(
            f"timm_schedule: expected fewer than the {recipe.passes} passes of training in warm-up and cool-down "
            f"together, got {schedule.warmup_passes:g} and {schedule.cooldown_passes}; train longer or shorten them"
        )
    if recipe.schedule == "timm-multistep":
        return MultiStepLRScheduler(
            optimizer,
            decay_t=[round(at * unit) + 1 for at in schedule.decay_passes],  # timm drops one update earlier
            decay_rate=schedule.decay_rate,
            warmup_t=warmup,
            warmup_lr_init=schedule.warmup_lr,
            warmup_prefix=schedule.warmup_prefix,
            t_in_epochs=False,
        )
    numbers = {
        "t_initial": decay,
        "lr_min": schedule.min_lr,
        "warmup_t": warmup,
        "warmup_lr_init": schedule.warmup_lr,
        "warmup_prefix": schedule.warmup_prefix,
        "t_in_epochs": False,  # `LearningRate.set_step` converts steps to passes
    }
    if recipe.schedule == "timm-cosine":
        return CosineLRScheduler(optimizer, **numbers)
    return PolyLRScheduler(optimizer, power=schedule.poly_power, **numbers)


class _ScaledRate(Scheduler):
    """A rate that is the group's own times a factor of the step."""

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]) -> None:
        super().__init__(optimizer, "lr", t_in_epochs=False)
        self._factor = factor

    def _get_lr(self, t: int) -> list[float]:
        return [value * self._factor(t) for value in self.base_values]


def cosine_factor(step: int, warmup: int, total: int) -> float:
    """A cosine to `FINAL_PART` times linear warm-up, as a part of the peak."""
    progress = min(step / max(total, 1), 1.0)
    cosine = FINAL_PART + (1 - FINAL_PART) * 0.5 * (1 + math.cos(math.pi * progress))
    return cosine * min(1.0, (step + 1) / max(warmup, 1))


def stepped_factor(step: int, warmup: int, total: int) -> float:
    """A division by 10 after each of `STEPS` times linear warm-up, as a part of the peak."""
    return 1 / 10 ** sum(step >= start * total for start in STEPS) * min(1.0, (step + 1) / max(warmup, 1))


def clip_gradients(model: nn.Module, apart: Sequence[Sequence[nn.Parameter]], max_norm: float) -> Float[Tensor, ""]:
    """Clips the norm of the gradient of some groups of parameters, each by itself, and of all others together.

    Args:
        model: What is trained.
        apart: The groups.
        max_norm: Largest norm of each; 0 does not clip.

    Returns:
        Norm of the whole gradient before it was clipped.
    """
    numbers = {id(parameter): number for number, group in enumerate(apart) for parameter in group}
    norms = []
    for number in (*range(len(apart)), None):
        part = [parameter for parameter in model.parameters() if numbers.get(id(parameter)) == number]
        gradients = [parameter.grad for parameter in part if parameter.grad is not None]
        if gradients:
            norms.append(nn.utils.get_total_norm(gradients))
        if gradients and max_norm:
            nn.utils.clip_grads_with_norm_(part, max_norm, norms[-1])
    return torch.stack(norms).norm() if norms else torch.zeros((), device=next(model.parameters()).device)


def _check_names(field: str, given: Iterable[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else "use one of them"
            raise InputError(
                f"optimizer.{field}: expected groups of the model ({', '.join(known)}), got {name!r}; {hint}"
            )
