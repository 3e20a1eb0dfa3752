"""`perception replay LOG --checkpoint RUN`: a recorded log through the node of a run's task."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from perception.errors import InputError
from perception_tools.references import resolve
from perception_tools.tasks import all_tasks, task_of_node, task_of_run


def replay(words: list[str]) -> dict:
    """Plays a recorded log through a node; which options there are depends on the task that the run is of."""
    from perception_tools.main import parse

    given = dict(pairwise(words))
    if "--checkpoint" in given:
        task = task_of_run(Path(given["--checkpoint"]))
    elif "--node" in given:
        task = task_of_node(given["--node"])
    else:
        task = next(task for task in all_tasks() if task.replay)
    if task.replay is None:
        able = ", ".join(other.name for other in all_tasks() if other.replay)
        raise InputError(f"a log cannot be replayed through a run of the task {task.name}; expected one of {able}")
    return parse("replay", resolve(task.replay), words)
