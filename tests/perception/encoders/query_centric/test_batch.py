"""Scenes as the tensors that the query-centric encoder reads."""

from __future__ import annotations

from collections.abc import Callable

from perception.encoders.query_centric.batch import GraphBatch
from perception.encoders.query_centric.input import GraphInput


def test_the_tensors_are_the_inputs_arrays_and_the_readout_names_the_agents(
    expect_the_arrays: Callable[[GraphInput, type], None],
) -> None:
    expect_the_arrays(GraphInput(8), GraphBatch)
