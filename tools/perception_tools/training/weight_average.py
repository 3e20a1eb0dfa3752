"""An exponential moving average of the trainable weights.

Lightning's `EMAWeightAveraging` and timm's `ModelEmaV3` copy and average the whole module, frozen language block
included: 0.8 GB and a pass over 202 M numbers a step for LLaMA-7B. This one follows the trainable weights only. timm's
class would take the place of the two lines that update the average; their exchange with the model's own weights for
validation and their place in the checkpoint, which are the rest of this file, it does not have.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn
from typing_extensions import override


class WeightAverage(pl.Callback):
    """Averages after every optimiser step; validation sees the average, and training ends with it in the model.

    The average starts short, decay (1 + step) / (10 + step) until that exceeds `decay`, so that it never drags the
    random initial weights along.

    Args:
        decay: Decay per optimiser step.
        validated: Whether validation sees the average and training ends with it; otherwise only checkpoints hold it.
    """

    def __init__(self, decay: float, validated: bool = True) -> None:
        self.decay, self.validated = decay, validated
        self.average: dict[str, Tensor] = {}
        self._own: dict[str, Tensor] = {}
        self._step = 0

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts from the weights at hand, or goes on from the checkpoint's average."""
        trainable = _trainable(pl_module)
        self.average = {
            name: self.average.get(name, parameter.detach()).clone().to(parameter.device)
            for name, parameter in trainable.items()
        }

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes the steps done before; only now are those of a checkpoint known."""
        self._step = trainer.global_step

    @override
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """One step of the average; a batch that only accumulates gradients is none."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        decay = min(self.decay, (1 + trainer.global_step) / (10 + trainer.global_step))
        weights = [parameter.detach() for parameter in _trainable(pl_module).values()]
        get_ema_multi_avg_fn(decay)(list(self.average.values()), weights, 0)

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validation sees the average."""
        if self.average and self.validated:
            self._own = {name: parameter.detach().clone() for name, parameter in _trainable(pl_module).items()}
            _assign(pl_module, self.average)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training goes on with its own weights."""
        if self._own:
            _assign(pl_module, self._own)
            self._own = {}

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The average is the result."""
        if self.validated:
            _assign(pl_module, self.average)

    @override
    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"average": self.average}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.average = state_dict["average"]


def _trainable(module: pl.LightningModule) -> dict[str, torch.nn.Parameter]:
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


@torch.no_grad()
def _assign(module: pl.LightningModule, weights: dict[str, Tensor]) -> None:
    for name, parameter in _trainable(module).items():
        parameter.copy_(weights[name])
