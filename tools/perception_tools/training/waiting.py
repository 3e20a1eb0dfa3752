"""How much of a training's time the model waits for data."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override


class ShareOfWaiting(Callback):
    """Shows `waits` beside the progress: the share of this segment's time in which no batch was there to train on.

    Validation does not count. On a GPU the step's time is that of the host.

    Attributes:
        waited_s: Time between steps in this segment, in seconds.
        stepped_s: Time of its steps, in seconds.
    """

    def __init__(self) -> None:
        self.waited_s = self.stepped_s = 0.0
        self._since = 0.0

    @property
    def share(self) -> float:
        """The share of waiting, from 0 to 1."""
        return self.waited_s / max(self.waited_s + self.stepped_s, 1e-9)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A segment begins with waiting for its first batch."""
        self.waited_s = self.stepped_s = 0.0
        self._since = time.perf_counter()

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The batch is there."""
        now = time.perf_counter()
        self.waited_s += now - self._since
        self._since = now

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """From now on the model waits for the next one."""
        now = time.perf_counter()
        self.stepped_s += now - self._since
        self._since = now
        pl_module.log("waits", self.share, prog_bar=True, logger=False, batch_size=1)
