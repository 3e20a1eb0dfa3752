"""Scenes as the tensors that the query-centric encoder reads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from perception.batches import named_tensors
from perception.encoders.query_centric.batch import GraphBatch
from perception.encoders.query_centric.input import GraphInput
from perception.traffic.scenario import Scenario


def test_the_tensors_are_the_inputs_arrays_and_the_readout_names_the_agents(
    make_scenario: Callable[..., Scenario],
) -> None:
    shown, scenarios = GraphInput(8), [make_scenario("a", agents=3), make_scenario("b", agents=2)]
    prepared, asked = [shown.prepare(scenario) for scenario in scenarios], [np.array([0, 2]), np.array([1])]
    arrays, batch = shown.arrays(prepared, asked), shown.collate(prepared, asked)
    assert isinstance(batch, GraphBatch)
    tensors = named_tensors(batch)
    assert tensors.keys() == arrays.keys()
    assert all(torch.equal(tensors[name], torch.from_numpy(array)) for name, array in arrays.items())
    assert batch.readout.rows is batch.rows
    assert int(batch.rows_valid.sum()) == 3
