"""That all processes of a training end with SIGTERM is tested in test_processes.py."""

from __future__ import annotations

import signal
import threading

import lightning.pytorch as pl
import pytest

from perception_tools.training.stopping import StopOnSigterm


def test_sigterm_interrupts_training_in_the_place_of_the_handler_before() -> None:
    former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        StopOnSigterm().on_train_start(pl.Trainer(logger=False, accelerator="cpu"), pl.LightningModule())
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, former)


def test_training_in_another_thread_leaves_the_handler_alone() -> None:
    """Only the main thread may set one; elsewhere that would be an error."""
    failed: list[BaseException] = []
    trainer, module = pl.Trainer(logger=False, accelerator="cpu"), pl.LightningModule()

    def start() -> None:
        try:
            StopOnSigterm().on_train_start(trainer, module)
        except ValueError as error:
            failed.append(error)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert failed == []
    assert signal.getsignal(signal.SIGTERM) == before
