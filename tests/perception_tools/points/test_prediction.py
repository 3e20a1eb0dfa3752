from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from perception.models.point_classifier import PointClassifier
from perception_datasets.clouds.open_clouds import open_clouds
from perception_tools.points.model import load_classifier
from perception_tools.points.prediction import predict, predict_by_vote, predict_shuffled
from perception_tools.points.recipes import AugmentationRecipe

STILL = AugmentationRecipe(oversample=32, stretch=1.0, shift=0.0)


@pytest.fixture(scope="module")
def model(trained_points: Path) -> PointClassifier:
    return load_classifier(trained_points).model


def test_a_single_pass_is_what_the_model_says(model: PointClassifier, clouds: Path) -> None:
    of = open_clouds(clouds, "test")
    found = predict(model, of, batch=5)
    assert found.ids == tuple(record.id for record in of)
    expected = model.classify([of.decode(record) for record in of])
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)


def test_votes_for_the_same_look_change_nothing(model: PointClassifier, clouds: Path) -> None:
    of = open_clouds(clouds, "test")
    voted = predict_by_vote(model, of, STILL, votes=3)
    np.testing.assert_allclose(voted.probabilities, predict(model, of).probabilities, atol=1e-4)


def test_a_vote_is_the_mean_logit_and_the_same_again(model: PointClassifier, clouds: Path) -> None:
    of = open_clouds(clouds, "test", limit=3)
    changes = AugmentationRecipe(oversample=40, stretch=1.3, shift=0.1)
    votes = predict_by_vote(model, of, changes, votes=4)
    again = predict_by_vote(model, of, changes, votes=4, batch=2)
    np.testing.assert_allclose(votes.probabilities, again.probabilities, atol=1e-5)
    assert not np.allclose(votes.probabilities, predict(model, of).probabilities, atol=1e-4)


def test_shuffled_coordinates_keep_each_axis_and_lose_the_shape(model: PointClassifier, clouds: Path) -> None:
    shown: list[torch.Tensor] = []
    handle = model.register_forward_pre_hook(lambda _module, inputs: shown.append(inputs[0]))
    of = open_clouds(clouds, "test", limit=3)
    predict(model, of)
    predict_shuffled(model, of)
    handle.remove()
    plain, shuffled = shown
    assert torch.equal(plain.sort(dim=1).values, shuffled.sort(dim=1).values)
    assert not torch.equal(plain.norm(dim=2).sort(dim=1).values, shuffled.norm(dim=2).sort(dim=1).values)
