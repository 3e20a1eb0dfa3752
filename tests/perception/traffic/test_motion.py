import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perception.traffic.motion import causal_heading, causal_velocity

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
