"""What is said of a runtime's answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import GraphSource
from perception_tools.export.parity import CaseParity, compare_outputs, complaints, metric_complaints


class Answers:
    """A runtime whose answers are off by something."""

    def __init__(self, error: np.ndarray) -> None:
        self.error = error

    def run(self, arrays):
        return {"logits": arrays["x"] + self.error}


def compare(error: np.ndarray, valid=None) -> CaseParity:
    source = GraphSource(nn.Identity(), lambda model, x: model(x), input_name="x")
    exportable = Exportable(source, dict, (), {}, lambda _: None, lambda _: valid)
    (found,) = compare_outputs(exportable, {"ones": torch.ones(2, 3)}, Answers(error))  # pyright: ignore[reportArgumentType]
    return found


def test_errors_are_relative_to_the_answers_size() -> None:
    found = compare(np.array([[0, 0, 0], [0, 0, 0.5]], np.float32))
    assert found.relative == pytest.approx(0.5 / 6**0.5)
    assert (found.case, found.output, found.largest) == ("ones", "logits", 0.5)
    assert "logits of ones differs by 2.0e-01" in complaints([found], "float32")[0]
    assert complaints([found], "int4") == []


def test_what_is_not_valid_does_not_count() -> None:
    error = np.array([[0, 0, 0], [9, 9, np.nan]], np.float32)
    assert compare(error, np.array([True, False])).relative == 0
    assert compare(error).relative == float("inf")


def test_a_wrong_shape_and_no_number_are_complaints() -> None:
    for error in (np.zeros((4, 2, 3), np.float32), np.full((2, 3), np.nan, np.float32)):
        assert len(complaints([compare(error)], "int4")) == 1


def test_a_tasks_number_that_is_another_one_is_a_complaint_in_float32_alone() -> None:
    metrics = {"trained": {"top1": 0.5, "min_fde": 4.0}, "exported": {"top1": 0.49, "min_fde": 4.003}}
    assert metric_complaints(metrics, "float32") == ["top1 is 0.4900, the model's 0.5000"]
    assert metric_complaints(metrics, "int8") == []
    metrics["exported"]["min_fde"] = float("nan")
    assert len(metric_complaints(metrics, "float32")) == 2
