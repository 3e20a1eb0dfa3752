"""From a trained run to a checked ONNX file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from perception.errors import InputError
from perception.files import writing
from perception.frozen.trained_state import fingerprints
from perception_nodes.exported.model_file import SUFFIX
from perception_nodes.exported.runtimes import open_runtime
from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import trace
from perception_tools.export.narrowing import ExportPrecision, expect_narrowable, name_tail, narrow, tail_weights
from perception_tools.export.onnx_file import graph_hash, write_onnx
from perception_tools.export.parity import ParityError, compare_outputs, complaints, metric_complaints
from perception_tools.extras import require
from perception_tools.model_metadata import MODEL_FILE, model_id
from perception_tools.references import resolve
from perception_tools.tasks import Task, TrainedModel, all_tasks, task_of_run


def export_run(
    run: Path,
    out: Path,
    precision: ExportPrecision = "float32",
    *,
    check: bool = True,
    data: Path | None = None,
    split: str = "val",
    limit: int | None = None,
) -> dict:
    """Exports a run; nothing is written where a check fails.

    Returns:
        What the command prints: files, megabytes, parity by case and output, and with data the task's numbers.

    Raises:
        InputError: The task has no export, or the model cannot be traced.
        ParityError: The file's answers differ from the model's.
    """
    require("onnx")
    require("onnxscript")
    if out.suffix != SUFFIX:
        raise InputError(f"{out}: expected a name that ends in {SUFFIX}; give one")
    task = task_of_run(run)
    if task.export is None:
        able = ", ".join(other.name for other in all_tasks() if other.export)
        raise InputError(f"{run}: models of the task {task.name} cannot be exported yet; those of {able} can")
    trained = task.load_model(run)
    exportable: Exportable = resolve(task.export)(trained)
    tail = tail_weights(exportable.source.model)
    expect_narrowable(tail, precision)
    cases = exportable.cases()
    proto = trace(exportable.source, next(iter(cases.values())))
    structure = graph_hash(proto)
    proto = narrow(proto, name_tail(proto, tail), precision)
    metadata = {
        "task": task.name,
        "name": trained.name,
        "model_id": model_id(trained.name, run, precision),
        "precision": precision,
        "blocks": fingerprints(trained.model),
        "graph": structure,
        **exportable.metadata,
    }
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            written = write_onnx(proto, Path(folder) / out.name, metadata)
            summary: dict[str, Any] = {"run": str(run), "precision": precision, "graph": structure}
            if check:
                summary |= _checked(exportable, cases, written[-1], precision)
            if data is not None:
                summary["metrics"] = _metrics(task, trained, exportable, written[-1], data, split, limit)
                _expect_no_complaint(written[-1], metric_complaints(summary["metrics"], precision) if check else [])
            for file in written:
                os.replace(file, out.parent / file.name)
    files = [out.parent / file.name for file in written]
    return summary | {"files": {file.name: file.stat().st_size for file in files}}


def exported_beside(run: Path, precision: ExportPrecision = "float32") -> Path:
    """The run's exported file, made where there is none of this state of the model.

    Raises:
        InputError: As for `export_run`.
    """
    from perception_nodes.exported.model_file import open_exported

    if run.suffix == SUFFIX:
        return run
    folder = run if run.is_dir() else run.parent
    out = folder / "exported" / f"{precision}{SUFFIX}"
    if out.exists():
        try:
            file = open_exported(out)
        except InputError:
            pass  # of an earlier version, or damaged: it is written again
        else:
            name = str(file.metadata.get("name"))
            if file.metadata.get("model_id") == model_id(name, run / MODEL_FILE if run.is_dir() else run, precision):
                return out
    export_run(run, out, precision)
    return out


def _checked(
    exportable: Exportable, cases: Mapping[str, Any], file: Path, precision: ExportPrecision
) -> dict[str, Any]:
    parities = compare_outputs(exportable, cases, open_runtime(file, "onnxruntime"))
    _expect_no_complaint(file, complaints(parities, precision))
    return {"parity": [asdict(parity) for parity in parities]}


def _expect_no_complaint(file: Path, wrong: Sequence[str]) -> None:
    if wrong:
        raise ParityError(
            f"{file.name}: its answers are not the model's: {'; '.join(wrong)}; nothing was written; take a wider "
            "precision, or report it with the recipe"
        )


def _metrics(
    task: Task, trained: TrainedModel, exportable: Exportable, file: Path, data: Path, split: str, limit: int | None
) -> dict[str, dict[str, float]]:
    headline = resolve(task.headline)
    models = {"trained": trained.model, "exported": exportable.serve(open_runtime(file, "onnxruntime"))}
    return {name: headline(model, trained, data, split, limit) for name, model in models.items()}
