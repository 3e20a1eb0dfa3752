"""World metrics, equal to av2's, and the worlds of forecasters that know none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.metrics.worlds import mean_scores, nearest_mode, score_worlds, worlds_of


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1), actors=st.integers(1, 5), worlds=st.integers(1, 6), scale=st.sampled_from([0.3, 3])
)
def test_world_metrics_are_those_of_av2(seed: int, actors: int, worlds: int, scale: float) -> None:
    av2 = pytest.importorskip("av2.datasets.motion_forecasting.eval.metrics")
    rng = np.random.default_rng(seed)
    forecast = rng.normal(scale=scale, size=(actors, worlds, 5, 2)).cumsum(axis=2)
    truth = rng.normal(scale=scale, size=(actors, 5, 2)).cumsum(axis=1)
    chances = rng.dirichlet(np.ones(worlds))
    found = score_worlds(forecast, chances, truth)
    fde = av2.compute_world_fde(forecast, truth)
    best = int(fde.argmin())
    assert found.avg_min_fde == pytest.approx(fde[best], abs=1e-12)
    assert found.avg_min_ade == pytest.approx(av2.compute_world_ade(forecast, truth).min(), abs=1e-12)
    assert found.avg_min_ade_endpoint == pytest.approx(av2.compute_world_ade(forecast, truth)[best], abs=1e-12)
    assert found.actor_miss_rate == av2.compute_world_misses(forecast, truth)[:, best].mean()
    assert found.avg_brier_min_fde == pytest.approx(av2.compute_world_brier_fde(forecast, truth, chances)[best])
    assert found.collision_rate == av2.compute_world_collisions(forecast)[:, best].mean()


def test_worlds_of_single_agents_are_their_ranks_with_the_focal_agents_probabilities() -> None:
    modes = np.arange(2 * 3, dtype=float).reshape(2, 3, 1, 1) * np.ones((1, 1, 4, 2))
    chances = np.array([[0.2, 0.5, 0.3], [0.1, 0.3, 0.6]])
    worlds, probabilities = worlds_of(modes, chances, focal=1, k=2)
    assert worlds[:, :, 0, 0].tolist() == [[1.0, 2.0], [5.0, 4.0]]
    np.testing.assert_allclose(probabilities, [0.6 / 0.9, 0.3 / 0.9])


def test_worlds_that_were_forecast_together_stay_together() -> None:
    modes = np.random.default_rng(0).normal(size=(3, 4, 5, 2))
    chances = np.broadcast_to([0.1, 0.4, 0.4, 0.1], (3, 4))
    worlds, _ = worlds_of(modes, chances, focal=0, k=6)
    np.testing.assert_array_equal(worlds, modes[:, [1, 2, 0, 3]])


def test_scores_are_averaged_over_scenarios_not_over_actors() -> None:
    truth = np.zeros((1, 2, 2))
    good, bad = (score_worlds(truth[:, None] + error, np.ones(1), truth) for error in (0.0, 3.0))
    means = mean_scores([good, bad, bad, bad])
    assert means["actor_miss_rate"] == 0.75
    assert means["avg_min_fde"] == pytest.approx(0.75 * np.hypot(3, 3))


def test_the_nearest_mode_is_that_which_ends_nearest() -> None:
    modes = np.array([[[[9.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [2.0, 0.0]]]])
    assert nearest_mode(modes, np.zeros((1, 2, 2))).tolist() == [0]
