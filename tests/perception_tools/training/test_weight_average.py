"""The moving average of the weights."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from perception_tools.training.weight_average import WeightAverage


class Module(pl.LightningModule):
    """A trained and a frozen matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.trained = nn.Linear(2, 2, bias=False)
        self.frozen = nn.Linear(2, 2, bias=False).requires_grad_(False)


class Training:
    """Goes through Lightning's hooks in their order."""

    def __init__(self, decay: float, state: dict | None = None, step: int = 0, validated: bool = True) -> None:
        torch.manual_seed(0)
        self.module, self.callback, self.step = Module(), WeightAverage(decay, validated), step
        if state is not None:
            self.callback.load_state_dict(state)
        self.callback.on_fit_start(self.trainer, self.module)
        self.callback.on_train_start(self.trainer, self.module)

    @property
    def trainer(self) -> Any:
        return SimpleNamespace(global_step=self.step)

    def set_weights(self, value: float) -> None:
        with torch.no_grad():
            self.module.trained.weight.fill_(value)
        self.step += 1
        self.callback.on_train_batch_end(self.trainer, self.module)

    @property
    def average(self) -> float:
        return float(self.callback.average["trained.weight"][0, 0])


def test_batches_that_only_accumulate_gradients_do_not_count() -> None:
    for start in (0, 7):
        training = Training(0.5, step=start)
        training.set_weights(8.0)
        average = training.average
        for _ in range(3):
            training.callback.on_train_batch_end(training.trainer, training.module)
        assert training.average == average
        training.set_weights(8.0)
        assert training.average > average


def test_a_batch_before_the_first_step_does_not_count_after_a_resume() -> None:
    training = Training(0.5, step=7)
    before = training.average
    with torch.no_grad():
        training.module.trained.weight.fill_(8.0)
    training.callback.on_train_batch_end(training.trainer, training.module)
    assert training.average == before


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_average_is_its_closed_form(decay: float) -> None:
    training = Training(decay)
    first = training.average
    values = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0]
    for value in values:
        training.set_weights(value)
    decays = [min(decay, (1 + step) / (10 + step)) for step in range(1, len(values) + 1)]
    weights = [(1 - d) * float(torch.tensor(decays[i + 1 :]).prod()) for i, d in enumerate(decays)]
    expected = first * float(torch.tensor(decays).prod()) + sum(w * v for w, v in zip(weights, values, strict=True))
    assert training.average == pytest.approx(expected, rel=1e-5)


def test_a_long_average_forgets_where_it_began() -> None:
    training = Training(0.9)
    for _ in range(100):
        training.set_weights(2.0)
    assert training.average == pytest.approx(2.0, abs=1e-3)


def test_validation_sees_the_average_and_training_goes_on_with_its_own_weights() -> None:
    training = Training(0.5)
    training.set_weights(8.0)
    average = training.average
    assert average != 8.0
    training.callback.on_validation_start(training.trainer, training.module)
    assert float(training.module.trained.weight.detach()[0, 0]) == average
    training.callback.on_validation_end(training.trainer, training.module)
    assert bool((training.module.trained.weight == 8.0).all())
    training.set_weights(6.0)
    assert training.average != average, "the average goes on after a validation"


def test_the_average_is_the_result() -> None:
    training = Training(0.5)
    training.set_weights(8.0)
    training.callback.on_train_end(training.trainer, training.module)
    assert float(training.module.trained.weight.detach()[0, 0]) == training.average


def test_frozen_weights_are_neither_copied_nor_touched() -> None:
    training = Training(0.5)
    frozen = training.module.frozen.weight.clone()
    training.set_weights(8.0)
    training.callback.on_train_end(training.trainer, training.module)
    assert training.callback.state_dict()["average"].keys() == {"trained.weight"}
    assert torch.equal(training.module.frozen.weight, frozen)


def test_an_average_goes_on_from_its_state_as_if_never_stopped() -> None:
    unbroken = Training(0.9)
    for value in (1.0, 2.0, 3.0):
        unbroken.set_weights(value)
    state = {"average": {name: value.clone() for name, value in unbroken.callback.state_dict()["average"].items()}}
    resumed = Training(0.9, state, step=3)
    for training in (unbroken, resumed):
        training.set_weights(4.0)
    assert resumed.average == unbroken.average


def test_an_average_that_is_not_validated_goes_into_checkpoints_alone() -> None:
    training, validated = Training(0.5, validated=False), Training(0.5)
    for each in (training, validated):
        each.set_weights(8.0)
    training.callback.on_validation_start(training.trainer, training.module)
    assert bool((training.module.trained.weight == 8.0).all())
    training.callback.on_validation_end(training.trainer, training.module)
    training.callback.on_train_end(training.trainer, training.module)
    assert bool((training.module.trained.weight == 8.0).all()), "the weights themselves are the result"
    assert training.average == validated.average != 8.0
    assert training.callback.state_dict()["average"].keys() == {"trained.weight"}
