"""SIGTERM ends a training with all its processes."""

from __future__ import annotations

import signal
import threading
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override


class StopOnSigterm(Callback):
    """SIGTERM stops training as Ctrl-C does, with all its processes.

    Lightning's handler tells the other processes by a broadcast, which waits for ever where one of them is within
    another exchange, and goes on until the end of the step.
    """

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the place of Lightning's handler, which is there by now; Lightning puts the former ones back."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _stop)


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt
