"""A trained run as another runtime computes it. Imports no PyTorch where the task's node needs none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from perception_nodes.exported.runtimes import Backend, open_runtime
from perception_tools.export.exported_run import exported_file
from perception_tools.export.precisions import exported_precision
from perception_tools.references import resolve
from perception_tools.tasks import TrainedModel, task_of_run

if TYPE_CHECKING:
    from perception.kernels.precision import Precision


class ServedPlan(Protocol):
    """What a node's plan says about its model."""

    @property
    def checkpoint(self) -> Path:
        """A run's folder or a model file."""
        ...

    @property
    def precision(self) -> Precision:
        """Precision of the block's weights, in the node's own process."""
        ...

    @property
    def backend(self) -> Literal["torch", "onnxruntime", "openvino"]:
        """What computes the model."""
        ...

    @property
    def provider(self) -> str | None:
        """Device of a backend other than torch, in its own words."""
        ...

    @property
    def share_weights(self) -> bool:
        """Whether ONNX Runtime shares the block's weights with other processes."""
        ...

    @property
    def block(self) -> str | None:
        """Name of the pipeline to ask the service for; None for the node's own block."""
        ...

    @property
    def timeout_ms(self) -> float:
        """Deadline of a request to the service."""
        ...

    @property
    def threads(self) -> int:
        """Number of threads that torch computes with."""
        ...


def serve_for(plan: ServedPlan, trained: TrainedModel | None = None) -> Any:
    """The model of a node's plan, whose backend is another one than torch; see `serve_exported`."""
    assert plan.backend != "torch"
    return serve_exported(
        plan.checkpoint,
        plan.backend,
        precision=plan.precision,
        threads=plan.threads,
        provider=plan.provider,
        share_weights=plan.share_weights,
        trained=trained,
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
