"""What a deployment's file says of a node: the keys that all kinds of nodes have, and the topics behind them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Literal

from perception.errors import InputError
from perception_nodes.exported.model_file import is_exported
from perception_nodes.kinds import KINDS
from perception_nodes.ros.wire import Topic

EXAMPLE = "example"
"""Key of a field's metadata: the value that `perception_nodes.operations.reference` shows for a required key."""


@dataclass(frozen=True)
class NodePlan(ABC):
    """The keys of every node; each kind of node has a subclass with its own.

    Attributes:
        checkpoint: Folder of the trained run; or a file of `perception export`, which needs another backend than torch.
        block: Name of the pipeline to ask the block service for. Without it the checkpoint's own block computes in the
            node's process.
        precision: Precision of the checkpoint's own block; all but float32 change the answers a little. Leave it out
            where the node has a `block`: the service's folder has its own.
        backend: What computes the model. All but torch read the file that `perception export` writes; it is made beside
            the checkpoint where there is none.
        provider: Device of that backend, in its own words, such as CUDAExecutionProvider or GPU; the processor unless
            told.
        share_weights: Whether ONNX Runtime computes with the block's weights as they lie in their file, so that nodes
            around one block share their memory; with a copy of its own it is faster.
        timeout_ms: Time limit of a request to the block service.
        tolerance_ms: An answer that takes longer is a warning in the diagnostics, five in a row are an error.
        domain: ROS_DOMAIN_ID.
        metrics: Port of /livez, /readyz and /metrics on loopback; 0 chooses a free one, null serves none.
        threads: Number of threads that compute.
    """

    kind: ClassVar[str] = ""
    """The word for it in `perception_nodes.kinds.KINDS`."""

    checkpoint: Path = field(metadata={EXAMPLE: "runs/NAME"})
    block: str | None = None
    precision: Literal["float32", "bfloat16", "int8", "int8_dynamic"] = "float32"
    backend: Literal["torch", "onnxruntime", "openvino"] = "torch"
    provider: str | None = None
    share_weights: bool = False
    timeout_ms: float = 80.0
    tolerance_ms: float = 100.0
    domain: int = 0
    metrics: int | None = None
    threads: int = 1

    @property
    @abstractmethod
    def inputs(self) -> tuple[Topic, ...]:
        """Topics that the node subscribes to."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[Topic, ...]:
        """Topics that the node publishes, without the diagnostics."""

    @property
    def services(self) -> tuple[Topic, ...]:
        """Services that the node answers."""
        return ()

    @property
    def stands_by(self) -> str | None:
        """Name of the node whose outputs this one publishes while that is silent; None for a node of its own."""
        return None

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Inputs and outputs, each once."""
        return tuple(dict.fromkeys((*self.inputs, *self.outputs)))

    def __post_init__(self) -> None:
        _ = (*self.topics, *self.services)  # a topic refuses a name that is none
        expect_positive("node", timeout_ms=self.timeout_ms, tolerance_ms=self.tolerance_ms, threads=self.threads)
        if self.block is not None and self.precision != "float32":
            raise InputError(
                f"node: expected either a block or a precision, got block {self.block} and precision {self.precision}; "
                "the service's folder has its precision, so remove yours"
            )
        if is_exported(self.checkpoint):
            self._check_exported()
        if self.backend == "torch" and self.provider is not None:
            raise InputError(f"node: provider {self.provider}: torch has none; name a backend too, or remove it")
        if self.share_weights and self.backend != "onnxruntime":
            raise InputError(f"node: share_weights: expected backend onnxruntime, got {self.backend}; remove it")
        if self.backend != "torch" and self.block is not None:
            raise InputError(
                f"node: expected either a block or a backend, got block {self.block} and backend {self.backend}; an "
                "exported model holds its own block, so remove one"
            )

    def _check_exported(self) -> None:
        if self.backend == "torch":
            raise InputError(
                f"node: checkpoint {self.checkpoint}: torch computes runs, not exported files; add backend: onnxruntime"
            )
        if self.precision != "float32":
            raise InputError(
                f"node: checkpoint {self.checkpoint}: expected no precision, got {self.precision}; an exported file "
                "has its own, so remove yours"
            )


def plan_type(kind: str) -> type[NodePlan]:
    """Returns the class of a kind's settings, one of `KINDS`."""
    module, name = KINDS[kind].split(":")
    return getattr(import_module(module), name)


def expect_positive(owner: str, **numbers: float) -> None:
    """Refuses numbers that are not above 0."""
    for name, number in numbers.items():
        if not number > 0:
            raise InputError(f"{owner}: expected {name} above 0, got {number}")
