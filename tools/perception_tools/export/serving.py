"""A trained run as another runtime computes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perception.errors import InputError
from perception.kernels.precision import Precision
from perception_nodes.exported.runtimes import Backend, open_runtime
from perception_tools.export.narrowing import ExportPrecision
from perception_tools.export.run import exported_beside
from perception_tools.references import resolve
from perception_tools.tasks import TrainedModel, task_of_run

PRECISIONS: dict[Precision, ExportPrecision] = {"float32": "float32", "bfloat16": "bf16", "int8_dynamic": "int8"}
"""Precision of a node → that of the exported file."""


def serve_exported(
    run: Path,
    trained: TrainedModel,
    backend: Backend,
    *,
    precision: Precision = "float32",
    threads: int = 1,
    provider: str | None = None,
) -> Any:
    """The model of a run in another runtime, with the interface that nodes know.

    The run is exported into its folder where that has not been done; see `exported_beside`.

    Raises:
        InputError: It cannot be exported or opened so.
    """
    if precision not in PRECISIONS:
        raise InputError(
            f"precision {precision}: exported models have {', '.join(PRECISIONS)}; give one of them, or backend torch"
        )
    task, file = task_of_run(run), exported_beside(run, PRECISIONS[precision])
    assert task.export is not None
    return resolve(task.export)(trained).serve(open_runtime(file, backend, threads=threads, provider=provider))
