"""A trained run as another runtime computes it. Imports no PyTorch where the task's node needs none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from perception_nodes.exported.runtimes import Backend, open_runtime
from perception_tools.export.exported_run import exported_file
from perception_tools.export.precisions import exported_precision
from perception_tools.references import resolve
from perception_tools.tasks import TrainedModel, task_of_run

if TYPE_CHECKING:
    from perception_nodes.operations.node_plan import NodePlan


def serve_for(plan: NodePlan) -> Any:
    """The model of a node's plan, whose backend is another one than torch; see `serve_exported`."""
    assert plan.backend != "torch"
    return serve_exported(
        plan.checkpoint,
        plan.backend,
        precision=plan.precision,
        threads=plan.threads,
        provider=plan.provider,
        share_weights=plan.share_weights,
    )


def serve_exported(
    run: Path,
    backend: Backend,
    *,
    precision: str = "float32",
    threads: int = 1,
    provider: str | None = None,
    share_weights: bool = False,
    trained: TrainedModel | None = None,
) -> Any:
    """The model of a run in another runtime, with the interface that nodes know.

    Args:
        run: A run's folder or model file, which is exported into its folder where that has not been done
            (`exported_file`); or an exported file.
        backend: What computes it.
        precision: Precision of the block's weights, in the words of nodes.
        threads: Number of threads.
        provider: See `open_runtime`.
        share_weights: See `open_runtime`.
        trained: The model of the run if it is loaded already. It is needed, and loaded here, only for a task that
            cannot be served without it.

    Raises:
        InputError: It cannot be exported or opened so.
    """
    task, file = task_of_run(run), exported_file(run, exported_precision(precision))
    runtime = open_runtime(file, backend, threads=threads, provider=provider, share_weights=share_weights)
    if task.served is not None:
        return resolve(task.served)(runtime)
    assert task.export is not None, "what was exported can be"
    return resolve(task.export)(trained or task.load_model(run)).serve(runtime)
