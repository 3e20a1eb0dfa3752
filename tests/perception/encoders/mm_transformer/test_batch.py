"""Views as the tensors that mmTransformer reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from perception.encoders.mm_transformer.batch import SceneBatch
from perception.encoders.mm_transformer.input import SceneInput


@pytest.mark.parametrize("view", ["agent", "scene"])
def test_the_tensors_are_the_inputs_arrays_and_the_readout_names_the_agents(
    view,
    expect_the_arrays: Callable[[SceneInput, type], None],
) -> None:
    expect_the_arrays(SceneInput(view), SceneBatch)
