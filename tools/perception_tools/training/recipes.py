"""What every recipe holds: the numbers of a training run, as named Python values.

Nothing here imports torch: help is instant.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any, ClassVar, Literal, Self, TypeVar, get_type_hints

from perception.errors import InputError
from perception_tools.training.bounds import Count, Decay, Index, Positive, Seed, Share, Weight, check_bounds

T = TypeVar("T")
Schedule = Literal["cosine", "steps", "timm-cosine", "timm-poly", "timm-multistep"]


@dataclass(frozen=True)
class BlockRecipe:
    """What stands between encoder and decoder.

    Attributes:
        kind: `language` (weights of a language model), `random` (same shape, seeded), `mlp` (the paper's control: GELU
            and LayerNorm), or `none`.
        source: URI of the block; `perception block inspect --help` gives the grammar.
        frozen: Whether the block's own weights stay as they are.
        dtype: Type that a frozen block's matrices are held in. With `bfloat16` they take half the memory, and on
            processors that multiply it (AVX-512 BF16, AMX) products with them about half the time, in `32-true` too;
            `bf16-mixed` then need not convert them in every step. Values and gradients differ by 0.5 to 0.8 %
            in norm (SmolLM2's last block).
        post_norm: After the block: RMSNorm with unit weights as in the paper's released code, the language model's own
            final norm, or none.
        bias: Whether the two projections have biases; the released code has none.
        init: Initialisation of the projections: truncated normal with std 0.02 (pictures), or PyTorch's default (clips,
            clouds).
        matched: Whether the block's input starts as large as what the block adds to it; the released code does not do
            that. Without it VectorNet learns far more slowly through SmolLM2's block.
        residual: Whether the tokens are added to what comes out of the block, which then starts from nothing.
        training_only: Whether the block is there in training only: each record of a batch goes through it or past it,
            by a coin, and in evaluation all go past it, at the cost of the model without a block.
        learning_rate_multiplier: Learning rate of the two projections as a multiple of the recipe's.
    """

    kind: Literal["language", "random", "mlp", "none"] = "language"
    source: str = "smollm2"
    frozen: bool = True
    dtype: Literal["float32", "bfloat16"] = "float32"
    post_norm: Literal["unit_rms", "llm_final", "none"] = "unit_rms"
    bias: bool = False
    init: Literal["trunc_normal", "default"] = "default"
    matched: bool = True
    residual: bool = True
    training_only: bool = False
    learning_rate_multiplier: Weight = 1.0


BLOCKS: Mapping[str, tuple[BlockRecipe, str]] = {
    "": (BlockRecipe(kind="none"), "without any block"),
    "-llama": (BlockRecipe(), "with a frozen, pretrained language block (SmolLM2's last by default)"),
    "-mlp": (BlockRecipe(kind="mlp"), "control: GELU and LayerNorm in place of the block"),
    "-random": (BlockRecipe(kind="random"), "control: a frozen block of the same shape with seeded random weights"),
}
"""End of a recipe's name → its block, and what to say of it: the baseline, the paper's model and its two controls."""
TRAINED_BLOCKS: Mapping[str, tuple[BlockRecipe, str]] = {
    "-llama-ft": (BlockRecipe(frozen=False), "the language block, trained with everything else"),
    "-random-ft": (
        BlockRecipe(kind="random", frozen=False),
        "control: a block of the same shape from random weights, trained with everything else (the paper's table B)",
    ),
}
"""As `BLOCKS`, where the block's own weights are trained."""


@dataclass(frozen=True)
class OptimizerRecipe:
    """The optimiser, and how rate and decay differ between parameters; see `perception_tools.training.optim`.

    Attributes:
        opt: timm's name of the optimiser (`timm.optim.list_optimizers`).
        betas: Decay rates of Adam's two moments; METER has 0.9 and 0.98.
        eps: Term in Adam's denominator.
        layer_decay: Learning rate of each layer as a multiple of the next layer's, by the model's `group_matcher`; 1
            treats all layers alike.
        group_rates: Learning rate of a named group of parameters as a multiple of the recipe's, for example `head: 50`.
            The group `block` also has `learning_rate_multiplier`.
        group_weight_decays: Weight decay of a named group of parameters, in place of the recipe's.
    """

    opt: str = "adamw"
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    eps: Positive = 1e-8
    layer_decay: Positive = 1.0
    group_rates: Mapping[str, Weight] = field(default_factory=dict)
    group_weight_decays: Mapping[str, Weight] = field(default_factory=dict)


@dataclass(frozen=True)
class ScheduleRecipe:
    """Shape of the learning rate, where the recipe's `schedule` is one of timm's.

    Rates are absolute, not parts of the peak; times are passes over the data.

    Attributes:
        schedule_by: Whether the rate changes with every optimiser step, or only between passes (`step_on_epochs`).
        warmup_passes: Length of the linear warm-up.
        warmup_lr: Rate at its start.
        warmup_prefix: Whether the decay begins after the warm-up. If not, the decay runs from the first pass, and the
            warm-up hides its beginning, as in DeiT.
        min_lr: Rate at the end of the decay.
        cooldown_passes: Passes at `min_lr` after the decay.
        delay_passes: By how many passes the rate lags behind, by pass. DeiT, AbSViT and Point-BERT call `step(epoch)`
            after the epoch, so that their first two epochs both run at `warmup_lr`: that is 1.
        poly_power: Exponent of `timm-poly`.
        decay_passes: Passes after which `timm-multistep` multiplies the rate by `decay_rate`.
        decay_rate: That factor.
    """

    schedule_by: Literal["step", "pass"] = "step"
    warmup_passes: Weight = 0.0
    warmup_lr: Weight = 0.0
    warmup_prefix: bool = False
    min_lr: Weight = 0.0
    cooldown_passes: Index = 0
    delay_passes: Index = 0
    poly_power: Positive = 1.0
    decay_passes: tuple[Count, ...] = ()
    decay_rate: Positive = 0.25


@dataclass(frozen=True)
class MixupRecipe:
    """Mixup and CutMix of a classification batch, with timm's names (`timm.data.Mixup`); off by default.

    Attributes:
        mixup_alpha: Parameter of Mixup's beta distribution; 0 switches Mixup off.
        cutmix_alpha: Parameter of CutMix's beta distribution; 0 switches CutMix off.
        mixup_prob: Probability that a batch (or pair, or element) is mixed.
        mixup_switch_prob: Probability of CutMix where both are on.
        mixup_mode: What shares one mixing ratio: the whole batch, a pair, or each element alone.
        label_smoothing: Part of each target that is spread over all classes.
    """

    mixup_alpha: Weight = 0.0
    cutmix_alpha: Weight = 0.0
    mixup_prob: Share = 1.0
    mixup_switch_prob: Share = 0.5
    mixup_mode: Literal["batch", "pair", "elem"] = "batch"
    label_smoothing: Share = 0.0


@dataclass(frozen=True)
class LearningRecipe:
    """How any model learns.

    Attributes:
        block: What stands between encoder and head.
        passes: Times that all training data is seen.
        learning_rate: Peak, after linear warm-up.
        warmup_steps: Optimiser steps of the warm-up of `cosine` and `steps`, which multiplies their rate.
        schedule: `cosine` ends at 1 % of the peak; `steps` divides the peak by 10 after a third, a half and two thirds
            of training; `timm-cosine`, `timm-poly` and `timm-multistep` are timm's, see `timm_schedule`.
        timm_schedule: Numbers of timm's schedules.
        optimizer: The optimiser, and how rate and decay differ between parameters.
        weight_decay: For matrices; none for biases, norms, position embeddings and class tokens.
        accumulate: Parts in which the records of a step are computed one after another, to save memory.
        gradient_clip: Largest norm of the gradient; 0 does not clip.
        average_decay: Decay of the exponential moving average (EMA) of the weights.
        validate_average: Whether the EMA is what is validated and saved. If not, it only goes into checkpoints, as in
            Pang et al.'s code for pictures, which keeps an EMA and evaluates the weights themselves.
        validate_every: Training segments between validations; a segment is a pass over the data, or part of a long one.
        patience: Validations without improvement before training stops early, keeping the best; 0 never stops.
        precision: Lightning's name: `32-true`, `bf16-mixed`, `16-mixed`.
        seed: Random seed for initialisation, shuffling, augmentation and dropout.
    """

    block: BlockRecipe = BlockRecipe()
    passes: Count = 30
    learning_rate: Positive = 5e-4
    warmup_steps: Index = 0
    schedule: Schedule = "cosine"
    timm_schedule: ScheduleRecipe = ScheduleRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    weight_decay: Weight = 0.01
    accumulate: Count = 1
    gradient_clip: Weight = 1.0
    average_decay: Share = 0.999
    validate_average: bool = True
    validate_every: Count = 1
    patience: Index = 0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: Seed = 0

    RENAMED: ClassVar[Mapping[str, str]] = {}
    """Former name of a field → its name now, for files that were written before."""

    def with_source(self, source: str) -> Self:
        """The recipe around the block of a URI."""
        return dataclasses.replace(self, block=dataclasses.replace(self.block, source=source))

    def check(self) -> None:
        """Checks the numbers before anything is built from them.

        Raises:
            InputError: One is out of its bounds, or does not go with another.
        """
        check_bounds(self)
        if self.block.dtype != "float32" and not self.block.frozen:
            raise InputError(
                f"block.dtype: expected float32 for a block that is trained, got {self.block.dtype}; leave it out, or "
                "give --block.frozen"
            )

    def to_json(self) -> dict:
        """Nested plain values, as they come back from a JSON file."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, values: dict) -> Self:
        """The recipe that `to_json` wrote, perhaps with an earlier version: fields it lacks have their defaults.

        Raises:
            InputError: A field is unknown to this version, or the block is missing.
        """
        try:
            named = {cls.RENAMED.get(name, name): value for name, value in values.items()}
            return _from_json(cls, {"block": named["block"], **named})
        except (TypeError, KeyError) as error:
            raise InputError(
                f"recipe: expected the fields of this version's {cls.__name__}, {error}; "
                "evaluate with the version that trained the model"
            ) from error


def check_heads(dim: int, heads: int) -> None:
    """Checks that the heads of an attention share its width evenly.

    Raises:
        InputError: They do not; the message names the nearest widths that would do.
    """
    if dim % heads:
        below = dim - dim % heads
        near = f"{below} or {below + heads}" if below else str(heads)
        raise InputError(f"dim: expected a multiple of heads={heads}, got {dim}; give --dim {near}, or other heads")


def _from_json(kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from nested plain values; JSON's lists are its tuples."""
    kinds = get_type_hints(kind)
    made = {}
    for name, value in values.items():
        nested = kinds.get(name)
        if isinstance(nested, type) and is_dataclass(nested):
            made[name] = _from_json(nested, value)
        else:
            made[name] = tuple(value) if isinstance(value, list) else value
    return kind(**made)
