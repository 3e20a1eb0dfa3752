from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from torch import nn

from perception_nodes.operations.classifier_node import ClassifierNode
from perception_tools.classification.node import configure_node


class Served(nn.Module):
    """A model that has been folded."""


class Trained(nn.Module):
    """A model that can be folded."""

    def folded(self, precision: str) -> Served:
        assert precision == "int8"
        return Served()


class Node(ClassifierNode[Served]):
    """Takes a folded model."""

    def _warm_up(self, model: Served) -> Float32[np.ndarray, " classes"]:
        assert isinstance(model, Served)
        return np.ones(2, np.float32)


@dataclass
class Model:
    """A trained model."""

    name: str = "task/recipe"
    model: Any = None
    recipe: Any = None
    classes: tuple[str, ...] = ("cat", "dog")


@dataclass
class Plan:
    """What a node's plan says of its model."""

    checkpoint: Path
    precision: Any = "int8"
    backend: Any = "torch"
    provider: str | None = None
    block: str | None = None
    timeout_ms: float = 80.0
    threads: int = 1


def test_a_node_gets_the_folded_model_its_classes_and_its_id(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    node = Node()
    with ExitStack() as open_:
        configure_node(node, Model(model=Trained()), Plan(tmp_path), None, open_)  # pyright: ignore[reportArgumentType]
    assert node.model_id.startswith("task/recipe@")
    assert node.model_id.endswith(":int8")
    node.activate()
    assert isinstance(node._active_model("test"), Served)
