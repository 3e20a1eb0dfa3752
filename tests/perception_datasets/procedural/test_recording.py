import numpy as np
import pytest

from perception_datasets.procedural.recording import FOCAL, PRESENT, SCORED, record
from perception_datasets.procedural.truth import STEPS, Truth, Unusable


def convoy(cars: int, speed: float = 10.0, spacing_m: float = 15.0) -> Truth:
    """Returns cars in a row that drive east."""
    x = np.arange(cars)[:, None] * spacing_m + np.arange(STEPS) * 0.1 * speed
    position = np.stack([x, np.zeros_like(x)], axis=2)
    velocity = np.zeros_like(position)
    velocity[..., 0] = speed
    size = np.tile([4.7, 1.9], (cars, 1))
    return Truth(["vehicle"] * cars, size, position, np.zeros_like(x), velocity, np.ones(x.shape, bool))


def test_focal_and_scored_tracks_are_complete_and_the_ego_is_neither() -> None:
    for seed in range(10):
        recording = record(convoy(12), 12, np.random.default_rng(seed))
        category = np.array(recording.category)
        assert (category == FOCAL).sum() == 1
        assert category[recording.focal] == FOCAL
        assert recording.valid[category >= SCORED].all()
        assert recording.ids[-1] == "AV"
        assert category[-1] < SCORED
        assert len(set(recording.ids)) == len(recording.ids)


def test_the_measured_tracks_are_near_the_true_ones() -> None:
    truth = convoy(5)
    recording = record(truth, 5, np.random.default_rng(0))
    error = recording.position[..., 1][recording.valid]
    assert 0.005 < error.std() < 0.3
    np.testing.assert_allclose(recording.velocity[..., 0], 10.0, atol=0.5)


def test_only_agents_near_the_ego_are_seen() -> None:
    recording = record(convoy(30), 30, np.random.default_rng(0))
    ego = recording.position[-1]
    distance = np.linalg.norm(recording.position - ego, axis=2)
    assert distance[recording.valid].max() < 101.0
    assert not recording.valid[distance > 101.0].any()
    assert recording.valid[:, PRESENT].sum() > 5


def test_some_tracks_are_cut_short_or_have_gaps() -> None:
    whole = [record(convoy(12), 12, np.random.default_rng(seed)).valid.all(axis=1) for seed in range(10)]
    assert 0.1 < 1 - np.concatenate(whole).mean() < 0.6


def test_traffic_without_anyone_who_moves_is_unusable() -> None:
    for truth in (convoy(1), convoy(4, speed=0.0)):
        with pytest.raises(Unusable):
            record(truth, len(truth.kinds), np.random.default_rng(0))
