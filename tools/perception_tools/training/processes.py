"""The processes of a training: those that train beside the first one, and those that read data. All end with it."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from perception.processes import exit_with_parent

LAUNCHER = "PERCEPTION_LAUNCHER_PID"
"""Environment variable by which a process that Lightning starts knows who did."""
_POLL_S = 0.5


def exit_with_launcher() -> None:
    """Ends this process as soon as the one that started it for this training has ended, however that happened.

    Does nothing in the process that a user started. Further processes are started by Lightning in that one, or all of
    them by torchrun. They share its standard input, so `exit_with_parent` is not for them.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        launcher = os.getppid()
    elif int(os.environ.get("LOCAL_RANK", "0")) > 0 and LAUNCHER in os.environ:
        launcher = int(os.environ[LAUNCHER])
    else:
        os.environ[LAUNCHER] = str(os.getpid())
        return
    threading.Thread(target=_exit_after, args=(launcher,), daemon=True).start()


def _exit_after(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_POLL_S)
    os._exit(1)


def exit_with_trainer(_worker: int) -> None:
    """Ends a reading process as soon as the training process has ended: a `DataLoader`'s `worker_init_fn`.

    PyTorch's own watch looks every five seconds, and not while a batch is on its way.
    """
    exit_with_parent()


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
