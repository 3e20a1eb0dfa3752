"""Classifiers that a runtime computes."""

from __future__ import annotations

import numpy as np
import torch

from perception_tools.export.served_classifier import ServedClassifier


class Runtime:
    def run(self, arrays):
        return {"logits": arrays["clips"].sum(axis=(1, 2))[:, None].repeat(3, axis=1)}


class Input:
    def prepare(self, record):
        return torch.full((2, 4), float(record))


class Model:
    input = Input()

    def collate(self, prepared):
        return torch.stack(list(prepared))


def test_it_gives_the_graph_what_the_model_would_read() -> None:
    served = ServedClassifier(Runtime(), Model(), "clips")  # pyright: ignore[reportArgumentType]
    records = served.collate([torch.ones(2, 4), torch.zeros(2, 4)])
    np.testing.assert_array_equal(served(records), [[8, 8, 8], [0, 0, 0]])
    assert served.input is Model.input
    assert next(served.parameters()).device.type == "cpu"


def test_nodes_get_probabilities_of_records() -> None:
    served = ServedClassifier(Runtime(), Model(), "clips")  # pyright: ignore[reportArgumentType]
    probabilities = served.classify([1, 0])
    np.testing.assert_allclose(probabilities, np.full((2, 3), 1 / 3), rtol=1e-6)
    np.testing.assert_array_equal(probabilities, served.classify_prepared([torch.ones(2, 4), torch.zeros(2, 4)]))
