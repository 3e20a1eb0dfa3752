"""The table of tasks: each record is whole, and a recipe, a run and a node lead to its task."""

from __future__ import annotations

from inspect import getdoc, signature
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from perception.errors import InputError
from perception_tools.references import resolve
from perception_tools.tasks import Task, all_tasks, task_of_node, task_of_recipe, task_of_run
from perception_tools.training.run import TrainingRun

every_task = pytest.mark.parametrize("task", all_tasks(), ids=lambda task: task.name)


@every_task
def test_every_reference_of_a_record_leads_to_something_documented(task: Task) -> None:
    references = [task.run, task.job, task.load, task.evaluate, task.headline, task.node, task.replay]
    for reference in [*references, *(command.function for command in task.commands.values())]:
        assert reference is None or getdoc(resolve(reference)), reference
    assert issubclass(resolve(task.run), TrainingRun)
    assert list(signature(resolve(task.headline)).parameters)[2:] == ["data", "split", "limit"]
    assert list(signature(resolve(task.evaluate)).parameters)[:3] == ["runs", "data", "out"]


@every_task
def test_recipes_are_called_by_their_tasks_name_and_have_a_line_each(task: Task) -> None:
    assert task.descriptions.keys() == task.recipes.keys()
    assert all(name.startswith(f"{task.name}/") for name in task.recipes)
    assert all("\n" not in line for line in task.descriptions.values())
    assert (task.node is None) == (task.node_kind is None)
    assert set(task.monitored.values()) <= {"min", "max"}


def test_no_two_tasks_have_the_same_name_format_node_or_command() -> None:
    tasks = all_tasks()
    for attribute in ("name", "format", "node_kind"):
        values = [value for task in tasks if (value := getattr(task, attribute)) is not None]
        assert len(set(values)) == len(values), attribute
    commands = [name for task in tasks for name in task.commands]
    assert len(set(commands)) == len(commands)


@every_task
def test_a_recipe_and_a_node_lead_to_their_task_and_make_its_runs(task: Task, tmp_path: Path) -> None:
    name = next(iter(task.recipes))
    assert task_of_recipe(name) is task
    if task.node_kind:
        assert task_of_node(task.node_kind) is task
    run = task.make_run(name, data=tmp_path, out=tmp_path / "out", limit=3)
    assert (run.name, run.recipe, run.limit) == (name, task.recipes[name], 3)
    other = list(task.recipes.values())[-1]
    assert task.make_run(name, data=tmp_path, out=tmp_path, recipe=other).recipe is other


def test_a_run_leads_to_its_task(trained_run: Path, trained_answerer: Path) -> None:
    tasks = [task_of_run(path) for path in (trained_run, trained_run / "model.safetensors", trained_answerer)]
    assert [task.name for task in tasks] == ["forecast", "forecast", "scene-qa"]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("forecast/vectornet-lama", "did you mean forecast/vectornet-llama"),
        ("scene-qa/room", "did you mean scene-qa/rooms"),
        ("xyz", "`perception train --help` lists all recipes"),
    ],
)
def test_a_mistyped_recipe_is_answered_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"there is no recipe '{name}'; {nearest}"):
        task_of_recipe(name)


def test_a_file_of_no_task_is_answered_with_the_formats(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors", {"format": "another program's"})
    formats = ", ".join(task.format for task in all_tasks())
    with pytest.raises(InputError, match=f'one of the formats {formats}; got "another program\'s"'):
        task_of_run(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="expected a run's folder or its model"):
        task_of_run(tmp_path / "nowhere")


def test_an_unknown_node_is_answered_with_the_known_kinds() -> None:
    kinds = "forecast, scene-qa, image"
    with pytest.raises(InputError, match=f"there is no node of kind 'forecasting'; expected one of {kinds}"):
        task_of_node("forecasting")
