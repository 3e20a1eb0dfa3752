"""What every recipe holds: the numbers of a training run, as named Python values.

Nothing here imports torch: help is instant.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from perception.errors import InputError


@dataclass(frozen=True)
class BlockRecipe:
    """What stands between encoder and decoder.

    Attributes:
        kind: `language` (weights of a language model), `random` (same shape, seeded), `mlp` (the paper's control: GELU
            and LayerNorm), or `none`.
        source: URI of the block; `perception block inspect --help` gives the grammar.
        frozen: Whether the block's own weights stay as they are.
        post_norm: After the block: RMSNorm with unit weights as in the paper's released code, the language model's own
            final norm, or none.
        bias: Whether the two projections have biases; the released code has none.
        init: Of the projections: truncated normal with std 0.02 (image code), or PyTorch's default (video, points).
        matched: Whether the block's input starts as large as what the block adds to it; the released code does not do
            that. Without it VectorNet learns far more slowly through SmolLM2's block.
        residual: Whether the tokens are added to what comes out of the block, which then starts from nothing.
        learning_rate_multiplier: For the two projections.
    """

    kind: Literal["language", "random", "mlp", "none"] = "language"
    source: str = "smollm2"
    frozen: bool = True
    post_norm: Literal["unit_rms", "llm_final", "none"] = "unit_rms"
    bias: bool = False
    init: Literal["trunc_normal", "default"] = "default"
    matched: bool = True
    residual: bool = True
    learning_rate_multiplier: float = 1.0


@dataclass(frozen=True)
class LearningRecipe:
    """How any model learns.

    Attributes:
        block: What stands between encoder and head.
        passes: Times that all training data is seen.
        learning_rate: Peak, after linear warm-up.
        warmup_steps: Of the learning rate.
        weight_decay: For matrices; none for biases, norms and embeddings of one axis.
        gradient_clip: Largest norm of the gradient.
        average_decay: Of the exponential moving average of the weights, which is what is validated and kept.
        validate_every: Training segments between validations; a segment is a pass over the data, or part of a long one.
        patience: Validations without improvement before training stops early, keeping the best; 0 never stops.
        precision: Lightning's name: `32-true`, `bf16-mixed`, `16-mixed`.
        seed: Of initialisation, order, augmentation and dropout.
    """

    block: BlockRecipe = BlockRecipe()
    passes: int = 30
    learning_rate: float = 5e-4
    warmup_steps: int = 0
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    average_decay: float = 0.999
    validate_every: int = 1
    patience: int = 0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: int = 0

    RENAMED: ClassVar[Mapping[str, str]] = {}
    """Former name of a field → its name now, for files that were written before."""

    def to_json(self) -> dict:
        """Nested plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict) -> Self:
        """The recipe that `to_json` wrote.

        Raises:
            InputError: A field is unknown to this version.
        """
        try:
            named = {cls.RENAMED.get(name, name): value for name, value in values.items()}
            return cls(**{**named, "block": BlockRecipe(**values["block"])})
        except (TypeError, KeyError) as error:
            raise InputError(
                f"recipe: expected the fields of this version's {cls.__name__}, {error}; "
                "evaluate with the version that trained the model"
            ) from error
