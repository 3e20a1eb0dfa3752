"""What is said of a runtime's answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import GraphSource
from perception_tools.export.parity import CaseParity, compare_outputs, complaints


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
