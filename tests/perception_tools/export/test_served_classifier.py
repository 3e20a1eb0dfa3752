"""Classifiers that a runtime computes."""

from __future__ import annotations

import numpy as np
import torch

from perception_tools.export.served_classifier import ExportedClassifier


class Runtime:
    def run(self, arrays):
        return {"logits": arrays["clips"].sum(axis=(1, 2))[:, None].repeat(3, axis=1)}


class Model:
    input = "how records are shown"

    def collate(self, prepared):
        return torch.stack(list(prepared))


def test_it_gives_the_graph_what_the_model_would_read() -> None:
    served = ExportedClassifier(Runtime(), Model(), "clips")  # pyright: ignore[reportArgumentType]
    records = served.collate([torch.ones(2, 4), torch.zeros(2, 4)])
    np.testing.assert_array_equal(served(records), [[8, 8, 8], [0, 0, 0]])
    assert served.input == "how records are shown"
    assert next(served.parameters()).device.type == "cpu"
