"""`perception demo [--task NAME]`: the whole way from raw data to a report, for one task."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

from perception.errors import InputError
from perception_tools.references import resolve
from perception_tools.tasks import all_tasks


def demo(words: list[str]) -> Any:
    """Makes data, trains on it, evaluates and writes the report, for the task that `--task` names."""
    from perception_tools.main import parse

    demos = {task.name: task.demo for task in all_tasks() if task.demo}
    name, rest = _take_task(words, next(iter(demos)))
    if name not in demos:
        raise InputError(f"--task {name}: expected a task that has a demo; give one of {', '.join(demos)}")
    function = resolve(demos[name])
    summary = cleandoc(function.__doc__ or "").partition("\n\nArgs:")[0]
    description = f"{summary}\n\n--task NAME chooses another one: {', '.join(demos)}."
    return parse(f"demo --task {name}", function, rest, description=description)


def _take_task(words: list[str], usual: str) -> tuple[str, list[str]]:
    """The task that words name, and the other words.

    Raises:
        InputError: `--task` is the last word.
    """
    for at, word in enumerate(words):
        if word.startswith("--task="):
            return word.partition("=")[2], words[:at] + words[at + 1 :]
        if word == "--task":
            if at + 1 == len(words):
                raise InputError("--task: expected the name of a task; give --task NAME")
            return words[at + 1], words[:at] + words[at + 2 :]
    return usual, words
