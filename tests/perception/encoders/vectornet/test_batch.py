"""Views as the tensors that VectorNet reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from perception.encoders.vectornet.batch import VectorBatch
from perception.encoders.vectornet.input import VectorizedInput


@pytest.mark.parametrize("view", ["agent", "scene", "pairwise"])
def test_the_tensors_are_the_inputs_arrays_and_the_readout_names_the_agents(
    view,
    expect_the_arrays: Callable[[VectorizedInput, type], None],
) -> None:
    expect_the_arrays(VectorizedInput(view), VectorBatch)
