"""`perception analyse …`: what trained models do on the inside; the runs say which task they are of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from perception.errors import InputError
from perception_tools.tasks import Task, all_tasks, task_of_run

Runs = Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")]


def filtering(
    runs: Runs,
    data: Path,
    out: Path,
    masks: Path | None = None,
    beside: tuple[Path, ...] = (),
    split: str = "val",
    limit: int | None = None,
    pictures: int = 6,
    inside: Literal["sum", "added", "normed"] = "sum",
    device: str = "cpu",
) -> dict:
    """Shows which tokens stand out before, in and behind the block, and measures whether they are the target's.

    Writes filtering.json, records.parquet (a row for each record, run, stage and kind) and filtering.html: heat maps of
    the records, mIoU by stage and along the threshold, and what knows nothing of the record beside it.

    Args:
        runs: Run folders or model files of one task; several are put side by side.
        data: Folder or archive of the records, as for `perception evaluate`.
        out: Folder for the files.
        masks: Where targets are. For pictures: a folder of ImageNet-S masks, a table of boxes, or COCO's instances.
        beside: Further runs, such as the same encoder without a block.
        split: Split to look at.
        limit: Look at this many records only.
        pictures: Number of records that are drawn.
        inside: What stands for a part of the block: the residual stream behind it, what the part adds to that, or the
            stream with the norm behind the block applied.
        device: Where models run: cpu, cuda.

    Raises:
        InputError: A model or the data cannot be used.
    """
    from perception_tools.analysis.filtering.analyse import analyse_filtering
    from perception_tools.analysis.filtering.views import Asked

    task = _common_task([*runs, *beside], "token_views")
    asked = Asked(data, masks, split, limit, inside)
    return analyse_filtering(task, [*runs, *beside], asked, out, pictures=pictures, device=device)


def gradients(
    runs: Runs,
    data: Path,
    out: Path,
    split: str = "train",
    batch: int = 16,
    batches: int = 8,
    seeds: tuple[int, ...] = (),
    device: str = "cpu",
) -> dict:
    """Measures how much the gradients of single records agree, with the block and without.

    A frozen block may help because gradients that reach the encoder through it are more coherent (Bai et al., AAAI
    2025). Writes gradients.json: for each run the mean cosine of the angle between the gradients of two records with
    respect to the encoder's parameters, and the mean inner product over the mean square of the norm, each with an
    interval over batches; under `initial` the same of fresh models. Models are in evaluation mode, records are not
    augmented, so that runs see the same.

    Args:
        runs: Run folders or model files of one task; several are put side by side.
        data: Folder or archive of the records.
        out: Folder for gradients.json.
        split: Split of the data; what was trained on, by default.
        batch: Number of records whose gradients are compared with each other.
        batches: Number of such batches.
        seeds: Seeds of fresh models of the same recipe, which are measured too.
        device: Where models run: cpu, cuda.

    Raises:
        InputError: A model or the data cannot be used.
    """
    from perception_tools.analysis.gradients import analyse_gradients

    task = _common_task(runs, "record_losses")
    return analyse_gradients(
        task, runs, data, out, split=split, batch=batch, batches=batches, seeds=seeds, device=device
    )


def _common_task(runs: Sequence[Path], reference: str) -> Task:
    """The task of all runs, which must have what the analysis needs.

    Raises:
        InputError: There is no run, one is named twice, they are of several tasks, or their task lacks it.
    """
    if not runs:
        raise InputError("expected at least one run, got none; give the folder that `perception train` wrote")
    tasks = [task_of_run(run) for run in runs]
    for at, (run, task) in enumerate(zip(runs, tasks, strict=True)):
        if run.resolve() in [other.resolve() for other in runs[:at]]:
            raise InputError(f"{run}: expected different runs, found it twice; name each once")
        if task is not tasks[0]:
            raise InputError(f"{run}: it is of the task {task.name}, {runs[0]} of {tasks[0].name}; analyse each alone")
    if getattr(tasks[0], reference) is None:
        able = ", ".join(task.name for task in all_tasks() if getattr(task, reference) is not None)
        raise InputError(f"{runs[0]}: expected a run of a task that can be looked at ({able}), got {tasks[0].name}")
    return tasks[0]
