from __future__ import annotations

from pathlib import Path

import torch

from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.record_losses import record_losses


def test_every_usable_scenario_has_a_loss_that_teaches_the_encoder(trained_run: Path, broken_data: Path) -> None:
    trained = load_model(trained_run)
    source = record_losses(trained, broken_data, "val", None)
    losses = list(source.losses(trained.model))
    assert len(losses) == 4
    assert len(source.failures) == 1
    for loss in losses:
        assert loss.isfinite()
        (gradient,) = torch.autograd.grad(loss, [trained.model.encoder.fuse[2].weight])  # pyright: ignore
        assert gradient.abs().sum() > 0


def test_a_fresh_model_is_a_function_of_its_seed(trained_run: Path, data: Path) -> None:
    source = record_losses(load_model(trained_run), data, "val", 1)
    one, same, other = (next(source.initial(seed).encoder.parameters()) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
