"""From a trained run to a checked ONNX file."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

from perception.errors import InputError
from perception.frozen.trained_state import fingerprints
from perception_nodes.exported.model_file import SUFFIX
from perception_nodes.exported.runtimes import open_runtime
from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import trace
from perception_tools.export.narrowing import expect_narrowable, name_tail, narrow, tail_weights
from perception_tools.export.onnx_file import files_beside, graph_hash
from perception_tools.export.parity import check as check_parity
from perception_tools.export.parity import check_metrics
from perception_tools.export.precision_search import Budget, search_precision
from perception_tools.export.precisions import ExportPrecision
from perception_tools.extras import require
from perception_tools.model_metadata import MODEL_FILE, digest_of, model_id, stamp_of
from perception_tools.references import resolve
from perception_tools.tasks import Task, TrainedModel, all_tasks, task_of_run


def export_run(
    run: Path,
    out: Path,
    precision: ExportPrecision | Literal["auto"] = "float32",
    *,
    budget: str | None = None,
    check: bool = True,
    data: Path | None = None,
    split: str = "val",
    limit: int | None = None,
) -> dict:
    """Exports a run; nothing is written where a check fails.

    Args:
        run: A run's folder or model file.
        out: The file to write.
        precision: Precision of the block's weights; `auto` takes the fastest within the budget.
        budget: For `auto`, see `Budget`.
        check: Whether to compare the file's answers with the model's.
        data: A data set to compare the task's numbers on; for `auto` also to choose by.
        split: Which split of it.
        limit: Number of its first records.

    Returns:
        What the command prints: files, megabytes, parity by case and output, with data the task's numbers, and for
        `auto` the lines of the table.

    Raises:
        InputError: The task has no export, or the model cannot be traced.
        ParityError: The file's answers differ from the model's.
    """
    _check_options(out, precision, budget, data)
    task = _task_with_export(run)
    source = _source_of(run)  # before it is loaded
    trained = task.load_model(run)
    exportable: Exportable = resolve(str(task.export))(trained)
    tail = tail_weights(exportable.source.model)
    if precision != "auto":
        expect_narrowable(tail, precision)
    cases = exportable.cases()
    proto = trace(exportable.source, next(iter(cases.values())))
    structure, names, table = graph_hash(proto), name_tail(proto, tail), None
    measure = partial(_measure, task, trained, data=data, split=split, limit=limit)
    if precision == "auto":
        assert budget is not None
        with tempfile.TemporaryDirectory() as folder:
            table = search_precision(proto, names, exportable, budget, measure, trained.model, Path(folder))
        precision = table.chosen
    metadata = {
        "task": task.name,
        "name": trained.name,
        "model_id": model_id(trained.name, run, precision),
        "source": source,
        "precision": precision,
        "blocks": fingerprints(trained.model),
        "graph": structure,
        **({} if table is None else {"precisions": {**table.as_json(), "split": split, "limit": limit}}),
        **exportable.metadata,
    }
    summary: dict[str, Any] = {"run": str(run), "precision": precision, "graph": structure}
    summary["precisions"] = [] if table is None else table.lines()
    with files_beside(out, narrow(proto, names, precision), metadata) as written:
        runtime = open_runtime(written[-1], "onnxruntime")
        if check:
            summary["parity"] = [asdict(parity) for parity in check_parity(exportable, cases, runtime, precision)]
        if data is not None:
            metrics = (
                {"trained": measure(trained.model), "exported": measure(exportable.serve(runtime))}
                if table is None
                else {"trained": table.trained, "exported": table.best.metrics}
            )
            if check:
                check_metrics(metrics, runtime, precision)
            summary["metrics"] = metrics
    files = [out.parent / file.name for file in written]
    return summary | {"files": {file.name: file.stat().st_size for file in files}}


def _check_options(out: Path, precision: str, budget: str | None, data: Path | None) -> None:
    require("onnx")
    require("onnxscript")
    if out.suffix != SUFFIX:
        raise InputError(f"{out}: expected a name that ends in {SUFFIX}; give one")
    is_auto = precision == "auto"
    if is_auto != (budget is not None) or (is_auto and data is None):
        raise InputError(
            f"--precision {precision}: expected --precision auto with --budget and --data, or a precision without a "
            "budget; give all three, or a precision"
        )
    if budget is not None:
        Budget.of(budget)


def _task_with_export(run: Path) -> Task:
    task = task_of_run(run)
    if task.export is None:
        able = ", ".join(other.name for other in all_tasks() if other.export)
        raise InputError(f"{run}: models of the task {task.name} cannot be exported yet; those of {able} can")
    return task


def _source_of(run: Path) -> dict[str, Any]:
    """Which state of the trained model a file is of; see `perception_tools.export.exported_run`."""
    file = run / MODEL_FILE if run.is_dir() else run
    return {"stamp": stamp_of(file), "sha256": digest_of(file)}


def _measure(
    task: Task, trained: TrainedModel, model: Any, *, data: Path | None, split: str, limit: int | None
) -> dict[str, float]:
    """The task's numbers of the trained model in any form."""
    return resolve(task.headline)(model, trained, data, split, limit)
