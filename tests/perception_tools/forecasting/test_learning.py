"""How a forecaster learns: its loss and what it is validated by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from perception.losses.trajectory import trajectory_loss
from perception.metrics.forecasting import ForecastTable
from perception_datasets.forecasting import ScenarioFolder, open_forecasting
from perception_tools.forecasting.data import training_loader, validation_loader
from perception_tools.forecasting.learning import ForecastTask
from perception_tools.forecasting.model import build_forecaster
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.forecasting.scored import asked_agents


class Alone(ForecastTask):
    """A task without a trainer; keeps what it logs."""

    def __init__(self, recipe: ForecastRecipe) -> None:
        super().__init__(recipe, build_forecaster(recipe, 30).eval())
        self.logged: dict[str, float] = {}
        self.steps = 0

    @property
    def trainer(self) -> Any:
        return SimpleNamespace(world_size=1, estimated_stepping_batches=100)

    @property
    def global_step(self) -> int:
        return self.steps

    def log(self, name: str, value: Any, **_: Any) -> None:
        self.logged[name] = float(value.detach())

    def log_dict(self, dictionary: Any, **_: Any) -> None:
        for name, value in dictionary.items():
            self.log(name, value)


@pytest.fixture
def task(tiny_recipe: ForecastRecipe) -> Alone:
    return Alone(tiny_recipe)


@pytest.fixture
def folder_of(data: Path) -> Callable[[str], ScenarioFolder]:
    """The tiny data set's scenarios of a split."""
    return lambda split: open_forecasting(data, split)


def test_a_step_gives_the_weighted_loss_of_its_batch_and_names_what_failed(
    task: Alone, folder_of: Callable[[str], ScenarioFolder], tiny_recipe: ForecastRecipe
) -> None:
    (batch, *_) = training_loader(folder_of("train"), task.model.input, tiny_recipe)
    batch.failures["7"] = "it is broken"
    total = task.training_step(batch, 0)
    modes, views = task.model(batch.views), batch.views
    loss = trajectory_loss(modes, views.futures, views.futures_valid, batch.weights)
    expected = loss.total(tiny_recipe.expected_error_weight)
    torch.testing.assert_close(total, expected)
    assert task.failures == {"7": "it is broken"}
    assert task.logged == {
        "train/loss": pytest.approx(float(expected.detach())),
        "train/regression": pytest.approx(float(loss.regression.detach())),
        "train/classification": pytest.approx(float(loss.classification.detach())),
        "train/expected_end_error": pytest.approx(float(loss.expected_end_error.detach())),
    }


@pytest.mark.parametrize(("steps", "winners"), [(0, 6), (10, 5), (49, 1), (50, 1), (100, 1)])
def test_all_modes_are_regressed_at_first_and_one_in_the_end(
    tiny_recipe: ForecastRecipe, folder_of: Callable[[str], ScenarioFolder], steps: int, winners: int
) -> None:
    recipe = replace(tiny_recipe, modes=6, single_winner_from=0.5)
    task = Alone(recipe)
    task.steps = steps
    (batch, *_) = training_loader(folder_of("train"), task.model.input, recipe)
    task.training_step(batch, 0)
    views = batch.views
    loss = trajectory_loss(task.model(views), views.futures, views.futures_valid, batch.weights, winners)
    assert task.logged["train/regression"] == pytest.approx(float(loss.regression.detach()))


def test_it_is_validated_by_the_benchmarks_numbers(task: Alone, folder_of: Callable[[str], ScenarioFolder]) -> None:
    (batch,) = validation_loader(folder_of("val"), task.model.input)
    task.validation_step(batch, 0)
    table = ForecastTable()
    for scenario in folder_of("val").read_all(lambda *_: None):
        (forecast,) = task.model.forecast([scenario], [asked_agents(scenario)])
        table.add(scenario, forecast)
    scores, logged = table.as_json(), task.logged
    assert logged["val/min_fde"] == pytest.approx(scores["k6"]["min_fde"], rel=1e-4)
    assert logged["val/min_ade"] == pytest.approx(scores["k6"]["min_ade"], rel=1e-4)
    assert logged["val/miss_rate"] == pytest.approx(scores["k6"]["miss_rate"])
    assert logged["val/min_fde_k1"] == pytest.approx(scores["k1"]["min_fde"], rel=1e-4)
    assert logged["min_fde"] == logged["val/min_fde"]


def test_gradients_reach_all_that_learns_and_nothing_of_the_frozen_block(
    task: Alone, folder_of: Callable[[str], ScenarioFolder], tiny_recipe: ForecastRecipe
) -> None:
    with torch.no_grad():  # it starts at zero, behind which no gradient passes
        weight = task.model.get_parameter("block.project_out.weight")
        weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    gradients: dict[str, Tensor] = {}
    for batch in training_loader(folder_of("train"), task.model.input, tiny_recipe):
        task.training_step(batch, 0).backward()
    for name, parameter in task.model.named_parameters():
        if parameter.grad is not None and parameter.grad.any():
            gradients[name] = parameter.grad
    assert gradients.keys() == {name for name, p in task.model.named_parameters() if p.requires_grad}
