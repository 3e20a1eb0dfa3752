"""VectorNet's input: agents are named as in the scenario, augmentation changes the batch and not what is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from perception.encoders.forecasting import ForecastInput
from perception.encoders.vectornet.batch import VectorBatch
from perception.encoders.vectornet.input import POLYLINE_STEP, VectorizedInput
from perception.encoders.vectornet.vectorize import mirror, vectorize
from perception.encoders.vectornet.views import make_views
from perception.traffic.augmentation import Augmentation


def test_it_is_what_a_forecaster_expects() -> None:
    input_: ForecastInput = VectorizedInput()
    assert input_.collate is not None


def test_agents_are_those_of_the_scenario_not_rows_of_its_vectors(make_scenario) -> None:
    scenario = make_scenario(agents=3)
    valid = scenario.agents.valid.copy()
    valid[1, scenario.present] = False
    scenario = replace(scenario, agents=replace(scenario.agents, valid=valid))
    shown = VectorizedInput("scene")
    batch = shown.collate([shown.prepare(scenario)], [np.array([2])])
    assert batch.row_agents.tolist() == [[1]]
    for wanted in ([1], [0, 1], [3], []):
        with pytest.raises(ValueError, match=r"expected agents observed at the present step, \[0, 2\], got \["):
            shown.collate([shown.prepare(scenario)], [np.array(wanted, dtype=np.int64)])


@pytest.mark.parametrize("view", ["agent", "scene", "pairwise"])
def test_augmentation_is_a_mirror_then_a_turn(random_scenario, view) -> None:
    scenario = random_scenario(4)
    vectors, focal = vectorize(scenario), np.array([scenario.focal])
    shown = VectorizedInput(view, max_tokens=5)
    batch = shown.collate([vectors], [focal], [Augmentation(mirrored=True, turn_rad=0.3)])
    made = make_views([mirror(vectors)], [np.array([vectors.focal])], view=view, max_tokens=5, turn_rad=[0.3])
    expected = VectorBatch.of(made)
    assert torch.equal(batch.token_poses, expected.token_poses)
    assert torch.equal(batch.futures, expected.futures)
    np.testing.assert_array_equal(vectors.futures, vectorize(scenario).futures)


def test_warming_up_meets_every_padded_size_up_to_the_most() -> None:
    counts = list(VectorizedInput().warm_up_agents(33))
    padded = {-(-count // POLYLINE_STEP) for count in counts}
    assert padded == {-(-count // POLYLINE_STEP) for count in range(1, 34)}
