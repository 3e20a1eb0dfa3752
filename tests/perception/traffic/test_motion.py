import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perception.geometry import wrap_angle
from perception.traffic.motion import (
    at_rest,
    causal_heading,
    causal_velocity,
    regressed_turn_rate,
    regressed_velocity,
)

STEPS, PRESENT = 30, 19


@settings(deadline=None, max_examples=30)
@given(
    direction=st.floats(-3.1, 3.1),
    speed=st.floats(2.5, 30.0),
    valid=hnp.arrays(bool, (1, STEPS), elements=st.booleans()),
)
def test_uniform_motion_is_recovered_through_any_gaps(direction: float, speed: float, valid: np.ndarray) -> None:
    """At 2.5 m/s a metre takes four steps, so the heading is known only later."""
    velocity = speed * np.array([np.cos(direction), np.sin(direction)])
    position = (np.arange(STEPS)[None, :, None] * 0.1 * velocity) * valid[..., None]
    heading, known = causal_heading(position, valid, PRESENT)
    np.testing.assert_allclose(heading[known], direction, atol=1e-6)
    assert not (known & ~valid).any()
    found = causal_velocity(position, valid, PRESENT)
    moving = found.any(axis=2)
    np.testing.assert_allclose(found[moving], np.tile(velocity, (moving.sum(), 1)), atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000))
def test_history_does_not_depend_on_the_future(seed: int) -> None:
    rng = np.random.default_rng(seed)
    position = np.cumsum(rng.normal(0, 0.5, (4, STEPS, 2)), axis=1)
    valid = rng.random((4, STEPS)) < 0.7
    changed = position.copy()
    changed[:, PRESENT + 1 :] += rng.normal(0, 9, (4, STEPS - PRESENT - 1, 2))
    for estimate in (lambda p: causal_heading(p, valid, PRESENT)[0], lambda p: causal_velocity(p, valid, PRESENT)):
        np.testing.assert_array_equal(estimate(position)[:, : PRESENT + 1], estimate(changed)[:, : PRESENT + 1])


def test_the_heading_is_held_while_an_agent_stands() -> None:
    x = np.minimum(np.arange(STEPS) * 0.8, 8.0)
    jitter = np.random.default_rng(0).normal(0, 0.05, (STEPS, 2))
    position = (np.stack([x, 0 * x], axis=1) + jitter)[None]
    heading, known = causal_heading(position, np.ones((1, STEPS), bool), PRESENT)
    assert known.all()
    assert np.abs(heading).max() < 0.2


def test_an_agent_that_never_moved_has_no_heading_and_almost_no_velocity() -> None:
    position = np.random.default_rng(0).normal(0, 0.05, (1, STEPS, 2))
    valid = np.ones((1, STEPS), bool)
    assert not causal_heading(position, valid, PRESENT)[1].any()
    assert np.linalg.norm(causal_velocity(position, valid, PRESENT)[0, 5:], axis=1).max() < 0.5


def test_a_track_of_one_step_has_no_velocity() -> None:
    valid = np.zeros((1, STEPS), bool)
    valid[0, PRESENT] = True
    assert (causal_velocity(np.ones((1, STEPS, 2)), valid, PRESENT) == 0).all()


@given(seed=st.integers(0, 1000), lost=st.sets(st.integers(0, 18), max_size=15))
def test_even_motion_has_the_same_velocity_and_turn_rate_whatever_was_not_seen(seed: int, lost: set[int]) -> None:
    rng = np.random.default_rng(seed)
    velocity, rate, time_s = rng.uniform(-20, 20, (3, 1, 2)), rng.uniform(-0.7, 0.7, 3), 0.1 * np.arange(20)
    position = rng.uniform(-1e4, 1e4, (3, 1, 2)) + velocity * time_s[:, None]
    heading = rng.uniform(-3, 3, (3, 1)) + rate[:, None] * time_s
    valid = np.ones((3, 20), dtype=bool)
    valid[:, sorted(lost)] = False
    found, age_s, steps = regressed_velocity(position * valid[..., None], valid)
    turning, turn_steps = regressed_turn_rate(wrap_angle(heading), valid)
    assert steps.tolist() == [valid[0, -6:].sum()] * 3
    assert turn_steps.tolist() == [valid[0, -11:].sum()] * 3
    np.testing.assert_allclose(found, velocity[:, 0] * (steps > 1)[:, None], atol=1e-6)
    np.testing.assert_allclose(turning, rate * (turn_steps > 1), atol=1e-6)
    np.testing.assert_allclose(age_s, -np.mean(np.arange(-5, 1)[valid[0, -6:]]) * 0.1, atol=1e-9)


@pytest.mark.parametrize(
    ("moved", "resting"),
    [(lambda t: 0 * t, True), (lambda t: 0.1 * (t + 2), False), (lambda t: 0.5 * np.maximum(t + 0.5, 0) ** 2, False)],
)
def test_at_rest_is_what_stays_and_neither_what_creeps_nor_what_started_half_a_second_ago(moved, resting: bool) -> None:
    time_s = 0.1 * np.arange(-19, 1)
    position = np.stack([moved(time_s), np.full(20, 7.0)], axis=1)[None]
    assert at_rest(position, np.ones((1, 20), bool)).tolist() == [resting]
    valid = np.ones((1, 20), bool)
    valid[0, :-4] = False
    assert at_rest(position, valid).tolist() == [False]  # seen four times


def test_what_trembles_by_two_centimetres_is_at_rest() -> None:
    position = np.random.default_rng(0).normal(0, 0.02, (20_000, 20, 2))
    assert at_rest(position, np.ones((20_000, 20), bool)).mean() > 0.9999
