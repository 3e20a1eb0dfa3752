"""The share of waiting is that of the data."""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from perception_tools.training import waiting
from perception_tools.training.loaders import make_loader
from perception_tools.training.waiting import ShareOfWaiting


class Clock:
    """A clock that stands still but for what it is told."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Slow:
    """Data each of which takes a time to read."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        self.clock.now += self.seconds
        return torch.ones(1)


class Step(pl.LightningModule):
    """A step takes a second."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.weight = clock, nn.Parameter(torch.zeros(1))

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        self.clock.now += 1.0
        return (self.weight * batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, 0.0), (1.0, 0.5), (3.0, 0.75)])
@pytest.mark.filterwarnings("ignore")
def test_it_is_the_time_between_steps(
    seconds: float, expected: float, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    clock, share = Clock(), ShareOfWaiting()
    monkeypatch.setattr(waiting, "time", clock)
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", callbacks=[share], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Step(clock), make_loader(Slow(clock, seconds), collate=lambda seen: torch.stack(list(seen)), batch=1))
    assert share.stepped_s == 4.0, "of the last segment alone"
    assert share.share == pytest.approx(expected, abs=0.2 * expected)
    assert float(trainer.callback_metrics["waits"]) == pytest.approx(share.share)
