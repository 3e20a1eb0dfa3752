"""What is trained, what several processes and parts of a step make of it, and what a checkpoint holds."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception_tools.forecasting.learning import ForecastTask
from perception_tools.forecasting.model import build_forecaster
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.training.lightning_task import LearningTask
from perception_tools.training.optim import cosine_factor, parameter_groups
from perception_tools.training.recipes import BlockRecipe, LearningRecipe, OptimizerRecipe
from perception_tools.training.weight_average import WeightAverage


class Toy(LearningTask[LearningRecipe, nn.Sequential]):
    """Learns sums."""

    clipped_apart = ("first", "absent")

    def __init__(self, recipe: LearningRecipe) -> None:
        torch.manual_seed(0)
        super().__init__(recipe, nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 1)))

    def parameter_groups(self) -> dict[str, Sequence[nn.Parameter]]:
        return {"first": list(self.model[0].parameters())}

    def compiled_parts(self) -> Sequence[nn.Module]:
        return [self.model]

    def training_step(self, batch: list[Tensor], _batch_idx: int) -> Tensor:
        (numbers,) = batch
        loss = (self.model(numbers).squeeze(1) - numbers.sum(1)).square().mean()
        self.log_step({"train/loss": loss})
        return loss


def train(task: Toy, out: Path, batch: int, *callbacks: Callback) -> None:
    numbers = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=task.recipe.passes,
        gradient_clip_val=task.recipe.gradient_clip,
        accumulate_grad_batches=task.recipe.accumulate,
        logger=CSVLogger(out, name="", version=""),
        callbacks=list(callbacks),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, DataLoader(TensorDataset(numbers), batch))


def logged(out: Path, name: str) -> list[float]:
    with (out / "metrics.csv").open() as lines:
        return [float(row[name]) for row in csv.DictReader(lines) if row.get(name)]


def make_task(recipe: ForecastRecipe) -> ForecastTask:
    return ForecastTask(recipe, build_forecaster(recipe, 5))


def block_of(task: ForecastTask) -> FrozenBlockAdapter:
    assert isinstance(task.model.block, FrozenBlockAdapter)
    return task.model.block


pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
]


def test_the_block_is_a_group_whatever_it_is_called_inside(tiny_recipe: ForecastRecipe) -> None:
    block = replace(tiny_recipe.block, learning_rate_multiplier=0.1, bias=True)
    recipe = replace(tiny_recipe, block=block, learning_rate=1e-2, weight_decay=0.3)
    task = make_task(recipe)
    of_block = {id(parameter) for parameter in task.model.block.parameters()}
    groups = parameter_groups(task.model, task.parameter_groups(), recipe)
    for group in groups:
        for parameter in group["params"]:
            assert group["lr"] == pytest.approx(1e-3 if id(parameter) in of_block else 1e-2)
            assert group["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0)
    assert {group["name"] for group in groups} == {"block", "block/no_decay", "rest", "rest/no_decay"}


def test_groups_hold_every_trained_parameter_once_and_no_frozen_one(tiny_recipe: ForecastRecipe) -> None:
    task = make_task(tiny_recipe)
    groups = parameter_groups(task.model, task.parameter_groups(), tiny_recipe)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in task.model.parameters() if p.requires_grad)
    frozen = {id(p) for p in block_of(task).blocks.parameters()}
    assert frozen
    assert not frozen & set(grouped)


def test_a_block_that_is_not_frozen_is_trained(tiny_recipe: ForecastRecipe) -> None:
    recipe = replace(tiny_recipe, block=replace(tiny_recipe.block, frozen=False))
    task = make_task(recipe)
    groups = parameter_groups(task.model, task.parameter_groups(), recipe)
    grouped = {id(p) for group in groups for p in group["params"]}
    assert {id(p) for p in block_of(task).blocks.parameters()} <= grouped


def test_the_learning_rate_of_every_group_is_logged_and_ends_as_scheduled(tmp_path: Path) -> None:
    own = OptimizerRecipe(group_rates={"first": 0.1})
    task = Toy(LearningRecipe(passes=5, learning_rate=1e-2, warmup_steps=3, optimizer=own))
    train(task, tmp_path, 4, LearningRateMonitor())
    rates = {name: logged(tmp_path, f"learning_rate/{name}") for name in ("first", "first/no_decay", "rest")}
    assert len(rates["rest"]) == 10
    assert rates["rest"][0] == pytest.approx(1e-2 / 3)
    assert rates["first"] == rates["first/no_decay"] == pytest.approx([0.1 * rate for rate in rates["rest"]])
    (optimizer,) = task.trainer.optimizers
    assert optimizer.param_groups[-1]["lr"] == pytest.approx(1e-2 * 0.01)


def test_parts_of_a_step_make_the_step(tmp_path: Path) -> None:
    """A step of eight records in four parts learns, averages and schedules as the same step at once."""
    weights, losses = {}, {}
    for parts in (1, 4):
        recipe = LearningRecipe(passes=3, learning_rate=1e-2, warmup_steps=2, accumulate=parts, gradient_clip=0.5)
        task, average, seeds = Toy(recipe), WeightAverage(0.5), Seeds()
        train(task, tmp_path / str(parts), 8 // parts, average, LearningRateMonitor(), seeds)
        assert task.global_step == 3
        assert len(set(seeds.seen)) == len(seeds.seen) == 3 * parts, "every part draws its own dropout"
        weights[parts] = [*average.average.values()]
        rates = logged(tmp_path / str(parts), "learning_rate/rest")
        assert sorted(set(rates)) == sorted({1e-2 * cosine_factor(step, 2, 3) for step in range(3)})
        losses[parts] = logged(tmp_path / str(parts), "train/loss")
    assert len(losses[4]) == 3
    assert losses[4] == pytest.approx(losses[1], rel=1e-4)
    for whole, parts in zip(weights[1], weights[4], strict=True):
        torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-6)


class Seeds(Callback):
    """Notes the state of PyTorch's generator at each training step."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_after_backward(self, *_args) -> None:
        self.seen.append(torch.initial_seed())


def test_named_groups_are_clipped_apart_and_absent_ones_do_not_matter(tmp_path: Path) -> None:
    class Norms(Callback):
        def on_before_optimizer_step(self, _trainer, task, _optimizer) -> None:
            self.before = [float(p.grad.norm()) for p in task.model.parameters()]

        def on_before_zero_grad(self, _trainer, task, _optimizer) -> None:
            if task.model[0].weight.grad is not None:
                parts = [list(task.model[0].parameters()), list(task.model[2].parameters())]
                self.after = [nn.utils.get_total_norm([p.grad for p in part]).item() for part in parts]

    norms = Norms()
    train(Toy(LearningRecipe(passes=2, gradient_clip=1e-3)), tmp_path, 8, norms)
    assert min(norms.before) > 1e-2
    assert norms.after == pytest.approx([1e-3, 1e-3], rel=1e-3)


BLOCK = """
import torch
from perception.frozen.adapter import build_adapter
from perception.tokens import Tokens
from perception_tools.training.lightning_task import LearningTask
from perception_tools.training.recipes import LearningRecipe

torch.manual_seed(0)
model = torch.nn.Module()
model.block = build_adapter(16, kind="random", source="random:32x48x4?seed=0")
sizes = [(2, 7), (3, 9), (2, 12)]
tokens = [Tokens(torch.randn(*size, 16), torch.arange(size[1]).expand(size) < size[1] - size[0]) for size in sizes]

def run():
    model.zero_grad()
    values = [model.block(one) for one in tokens]
    sum(value.square().sum() for value in values).backward()
    return [value.detach() for value in values] + [p.grad for p in model.parameters() if p.grad is not None]

names, eager = model.state_dict().keys(), run()
LearningTask(LearningRecipe(), model).compile_model("eager")
torch.testing.assert_close(run(), eager)
assert model.state_dict().keys() == names
assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
"""


@pytest.mark.slow
def test_a_compiled_block_is_the_same_block_under_the_same_names() -> None:
    """In a process of its own, since the shape checks of tests cannot be traced.

    The backend `eager` runs what `torch.compile` traced with PyTorch's own kernels: minutes sooner than `inductor`.
    """
    finished = subprocess.run([sys.executable, "-c", BLOCK], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_model_learns_as_the_eager_one(tmp_path: Path) -> None:
    losses = []
    for compiles in (False, True):
        task = Toy(LearningRecipe(passes=3, learning_rate=1e-2))
        if compiles:
            task.compile_model()
        train(task, tmp_path / str(compiles), 4)
        losses.append(logged(tmp_path / str(compiles), "train/loss"))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0][-1] < losses[0][0]


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="expected the C\\+\\+ compiler no-such-compiler, found none; install one"):
        Toy(LearningRecipe()).compile_model()


def test_a_checkpoint_holds_no_frozen_weights_and_comes_back_strictly(tiny_recipe: ForecastRecipe) -> None:
    task = make_task(tiny_recipe)
    checkpoint: dict = {"state_dict": task.state_dict()}
    task.on_save_checkpoint(checkpoint)
    saved = dict(checkpoint["state_dict"])
    frozen = {name for name in task.state_dict() if name.startswith("model.block.blocks.")}
    assert frozen
    assert saved.keys() == task.state_dict().keys() - frozen
    other = make_task(replace(tiny_recipe, seed=5))
    other.on_load_checkpoint(checkpoint)
    other.load_state_dict(checkpoint["state_dict"], strict=True)
    assert all(torch.equal(other.state_dict()[name], value) for name, value in saved.items())


@pytest.mark.parametrize("block", [BlockRecipe(source="random:32x48x4?seed=1"), BlockRecipe(kind="none")])
def test_a_checkpoint_is_refused_around_another_block(tiny_recipe: ForecastRecipe, block: BlockRecipe) -> None:
    checkpoint: dict = {}
    make_task(tiny_recipe).on_save_checkpoint(checkpoint)
    with pytest.raises(InputError, match="it was trained around the block random:32x48x4"):
        make_task(replace(tiny_recipe, block=block)).on_load_checkpoint(checkpoint)
