"""The tasks of this house. A task is one folder in each package, one record there, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from perception.errors import InputError
from perception_tools.references import resolve

if TYPE_CHECKING:
    from perception_tools.training.job import Job
    from perception_tools.training.recipes import LearningRecipe
    from perception_tools.training.run import TrainingRun

TASKS = (
    "perception_tools.forecasting.task:TASK",
    "perception_tools.scene_qa.task:TASK",
    "perception_tools.image.task:TASK",
    "perception_tools.points.task:TASK",
    "perception_tools.image_text.task:TASK",
    "perception_tools.video.task:TASK",
)
"""Where each task's record is."""


class TrainedModel(Protocol):
    """What a task's `load` gives."""

    @property
    def name(self) -> str:
        """Name of the recipe."""
        ...

    @property
    def model(self) -> Any:
        """In evaluation mode; a `perception.models.with_block.WithBlock`."""
        ...

    @property
    def recipe(self) -> LearningRecipe:
        """Its numbers."""
        ...


@dataclass(frozen=True)
class Command:
    """A command beside those that every task has.

    Attributes:
        function: `module:function`, whose signature gives the options.
        summary: One line of help.
        group: Heading in `perception --help`.
    """

    function: str
    summary: str
    group: str


@dataclass(frozen=True)
class Task:
    """Everything that shared code needs of a task; references are `module:name`, imported when they are used.

    Attributes:
        name: Its recipes are called NAME/….
        title: What the task is, in a few words.
        format: Format of its model files.
        recipes: Word on the command line → recipe.
        descriptions: One line for each recipe.
        run: Its `TrainingRun`.
        job: Function from a run, and a model or None, to the `Job` of its training.
        load: Function from a run's folder or model file to a `TrainedModel`.
        evaluate: Function from runs and options to what metrics.json holds; its signature gives the options.
        headline: Function from a model, its `TrainedModel`, data, split and limit to the few numbers that tell whether
            a change of the block's form matters.
        monitored: Numbers of an evaluation that a sweep compares, by their path in metrics.json, such as `k6/min_fde`,
            each with `min` or `max` for which is better.
        node: Function from a deployment's plan, a session and an exit stack to a node's process; None without a node.
        node_kind: Kind of that node in a deployment's file; None without a node.
        replay: Function that plays a recorded log through the node; None without one.
        token_views: Function from trained models and what is asked to the `TokenViews` that `perception analyse
            filtering` looks at; None where it cannot.
        record_losses: Function from a `TrainedModel`, data, split and limit to the `RecordLosses` whose gradients
            `perception analyse gradients` compares; None where it cannot.
        export: Function from a `TrainedModel` to its `perception_tools.export.exportable.Exportable`; None where models
            cannot be exported.
        served: Function from a `perception_nodes.exported.runtimes.Runtime` to the exported model as the task's node
            asks it, which imports no PyTorch; None where that takes the trained model (`export`).
        untrained: Function from a block's URI, and the name of a recipe or None for a small one, to an untrained
            `TrainedModel`, for benchmarks; None where there is none.
        demo: Function that shows the whole way from raw data to a report in about ten minutes; None without one.
        commands: Further commands, by their words.
    """

    name: str
    title: str
    format: str
    recipes: Mapping[str, LearningRecipe]
    descriptions: Mapping[str, str]
    run: str
    job: str
    load: str
    evaluate: str
    headline: str
    monitored: Mapping[str, str]
    node: str | None = None
    node_kind: str | None = None
    replay: str | None = None
    token_views: str | None = None
    record_losses: str | None = None
    export: str | None = None
    served: str | None = None
    untrained: str | None = None
    demo: str | None = None
    commands: Mapping[str, Command] = field(default_factory=dict)

    def make_run(self, recipe_name: str, **options: Any) -> TrainingRun:
        """A run of one of its recipes."""
        return resolve(self.run)(name=recipe_name, **{"recipe": self.recipes[recipe_name], **options})

    def make_job(self, run: TrainingRun, model: Any = None) -> Job:
        """What training does for a run."""
        return resolve(self.job)(run, model)

    def load_model(self, run: Path) -> TrainedModel:
        """A trained model, from its file or from the folder of its run."""
        return resolve(self.load)(run)


@cache
def all_tasks() -> tuple[Task, ...]:
    """Every task's record, in the order of `TASKS`."""
    return tuple(resolve(reference) for reference in TASKS)


def task_of_recipe(name: str) -> Task:
    """The task that has a recipe.

    Raises:
        InputError: None has it; the message names the nearest recipes.
    """
    for task in all_tasks():
        if name in task.recipes:
            return task
    known = [recipe for task in all_tasks() for recipe in task.recipes]
    near = get_close_matches(name, known, 3, 0.5)
    raise InputError(
        f"there is no recipe {name!r}; "
        + (f"did you mean {' or '.join(near)}?" if near else "`perception train --help` lists all recipes")
    )


def task_of_run(run: Path) -> Task:
    """The task that a trained model is of.

    Args:
        run: A run's folder, a model file or an exported file.

    Raises:
        InputError: There is no model, or it is of no task that is known here.
    """
    from perception_nodes.exported.model_file import is_exported, open_exported
    from perception_tools.model_metadata import format_of

    if is_exported(run):
        name = open_exported(run).metadata.get("task")
        found = next((task.format for task in all_tasks() if task.name == name), f"task {name}")
    else:
        found = format_of(run)
    for task in all_tasks():
        if task.format == found:
            return task
    formats = ", ".join(task.format for task in all_tasks())
    raise InputError(f"{run}: expected a model file of one of the formats {formats}; got {found!r}")


def task_of_node(kind: str) -> Task:
    """The task whose node is of a kind.

    Raises:
        InputError: There is none.
    """
    for task in all_tasks():
        if task.node_kind == kind:
            return task
    kinds = ", ".join(task.node_kind for task in all_tasks() if task.node_kind)
    raise InputError(f"there is no node of kind {kind!r}; expected one of {kinds}")
