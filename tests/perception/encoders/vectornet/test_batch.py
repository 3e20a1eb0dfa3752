"""Views as the tensors that VectorNet reads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from perception.batches import named_tensors
from perception.encoders.vectornet.batch import VectorBatch
from perception.encoders.vectornet.input import VectorizedInput
from perception.traffic.scenario import Scenario


@pytest.mark.parametrize("view", ["agent", "scene", "pairwise"])
def test_the_tensors_are_the_inputs_arrays_and_the_readout_names_the_agents(
    view, make_scenario: Callable[..., Scenario]
) -> None:
    shown, scenarios = VectorizedInput(view), [make_scenario("a", agents=3), make_scenario("b", agents=2)]
    prepared, asked = [shown.prepare(scenario) for scenario in scenarios], [np.array([0, 2]), np.array([1])]
    arrays, batch = shown.arrays(prepared, asked), shown.collate(prepared, asked)
    assert isinstance(batch, VectorBatch)
    tensors = named_tensors(batch)
    assert tensors.keys() == arrays.keys()
    assert all(torch.equal(tensors[name], torch.from_numpy(array)) for name, array in arrays.items())
    assert batch.readout.rows is batch.rows
    assert int(batch.rows_valid.sum()) == 3
