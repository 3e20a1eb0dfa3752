"""`perception evaluate RUN … --data DIR --out DIR`: each run says itself which task it is of."""

from __future__ import annotations

from pathlib import Path

from perception.errors import InputError
from perception_tools.references import resolve
from perception_tools.tasks import Task, all_tasks, task_of_run


def evaluate(words: list[str]) -> dict:
    """Scores trained models; which options there are depends on the task that they are of."""
    from perception_tools.main import parse

    task = _task_of(words)
    if task is not None:
        return parse("evaluate", resolve(task.evaluate), words)
    if "-h" in words or "--help" in words:
        print("usage: perception evaluate RUN... --data DIR --out DIR [OPTIONS]\n")
        print("Scores trained runs side by side: OUT/metrics.json, records.parquet and report.html.")
        print("All runs are of one task; some of the numbers of each:\n")
        for known in all_tasks():
            print(f"  {known.name:<12} {known.title}: {', '.join(known.monitored)}")
        print("\nperception evaluate RUN --help shows the options for the task of a run.")
        return {}
    raise InputError("expected at least one run, got none; give the folder that `perception train` wrote")


def _task_of(words: list[str]) -> Task | None:
    """The task of the runs among the words; None where there are none.

    Raises:
        InputError: What is named is no run, or a later one is of another task.
    """
    first_option = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    runs = [Path(word) for word in words[:first_option]] or [Path(word) for word in words if _is_run(Path(word))]
    if not runs:
        return None
    places = [run.resolve() for run in runs]
    for at, run in enumerate(runs):
        if places[at] in places[:at]:
            raise InputError(f"{run}: expected different runs, found it twice; name each once")
    tasks = [task_of_run(run) for run in runs]
    for run, task in zip(runs, tasks, strict=True):
        if task is not tasks[0]:
            raise InputError(
                f"{run}: it is of the task {task.name}, {runs[0]} of {tasks[0].name}; evaluate each task on its own"
            )
    return tasks[0]


def _is_run(path: Path) -> bool:
    """Whether a word after the first option is a run's folder or a model file, not an option's value."""
    return (path / "run.json").exists() or (path.suffix == ".safetensors" and path.is_file())
