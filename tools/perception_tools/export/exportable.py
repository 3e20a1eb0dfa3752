"""What a task says of a trained model that is to be exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from perception_nodes.exported.runtimes import Runtime
from perception_tools.export.graph import GraphSource


@dataclass(frozen=True)
class Exportable:
    """A trained model and what tells whether it was exported rightly.

    Attributes:
        source: The model and how it is called.
        cases: Gives batches by what they are like, in words: of several sizes, with the borders of what can come. The
            first one is traced; its open axes are longer than 1.
        timed: Names of the batches that benchmarks compute.
        metadata: What a user of the file must know, as JSON: recipe, units, frames, classes, normalisation.
        serve: A runtime as the task's `headline` takes a model.
        valid: Which of the leading rows of an answer count; None if all do.
        peers: Models of other libraries of the same size, by name, which are called with a batch; for benchmarks.
    """

    source: GraphSource
    cases: Callable[[], Mapping[str, Any]]
    timed: tuple[str, ...]
    metadata: Mapping[str, Any]
    serve: Callable[[Runtime], Any]
    valid: Callable[[Any], Any] = lambda _: None
    peers: Mapping[str, Callable[[], nn.Module]] = field(default_factory=dict)
