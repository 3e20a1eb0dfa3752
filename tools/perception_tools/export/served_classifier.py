"""A classifier that a runtime computes, as evaluation and nodes call the trained one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from perception_nodes.exported.runtimes import Runtime


class ServedClassifier(nn.Module):
    """A graph from one tensor to logits, and how records are shown to it.

    Args:
        runtime: The graph.
        model: The model that it was; its `input` and `collate` show records to the graph too.
        input_name: Name of the graph's input.
    """

    def __init__(self, runtime: Runtime, model: Any, input_name: str) -> None:
        super().__init__()
        self.runtime, self.input, self._name = runtime, model.input, input_name
        self.device_of = nn.Parameter(torch.zeros(0))
        self._collate = model.collate

    def forward(self, records: Float32[Tensor, "*records"]) -> Float32[Tensor, "batch classes"]:
        """Returns a logit for each class."""
        return torch.from_numpy(self.runtime.run({self._name: records.numpy()})["logits"])

    def collate(self, prepared: Sequence[Any]) -> Float32[Tensor, "*records"]:
        """Records side by side."""
        return self._collate(prepared)

    def classify(self, records: Sequence[Any]) -> Float32[np.ndarray, "records classes"]:
        """Probability of each class, for at least one record."""
        return self.classify_prepared([self.input.prepare(record) for record in records])

    def classify_prepared(self, prepared: Sequence[Any]) -> Float32[np.ndarray, "records classes"]:
        """Probability of each class, for at least one record as the model's `prepare` gives it."""
        return self(self.collate(prepared)).softmax(-1).numpy()
