import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perception.baselines.constant_turn import constant_turn


@given(
    east=st.floats(-30, 30),
    north=st.floats(-30, 30),
    rate=st.floats(-1, 1) | st.sampled_from((0.0, 1e-12)),
    steps=st.integers(1, 60),
)
def test_positions_are_those_of_many_small_straight_steps(east: float, north: float, rate: float, steps: int) -> None:
    moved = constant_turn(np.array([[3.0, -4.0]]), np.array([[east, north]]), np.array([rate]), steps)
    fine = 200
    times = 0.1 * (np.arange(steps * fine) + 0.5) / fine
    velocity = (east + 1j * north) * np.exp(1j * rate * times)
    expected = 3 - 4j + (velocity * 0.1 / fine).cumsum()[fine - 1 :: fine]
    np.testing.assert_allclose(moved[0, :, 0] + 1j * moved[0, :, 1], expected, atol=1e-5)


def test_each_agent_goes_its_own_way() -> None:
    position, velocity = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([[10.0, 0.0], [0.0, 5.0]])
    both = constant_turn(position, velocity, np.array([0.0, 0.5]), 30)
    assert both.shape == (2, 30, 2)
    np.testing.assert_allclose(both[0], np.stack([np.arange(1.0, 31.0), np.zeros(30)], axis=1), atol=1e-9)
    np.testing.assert_array_equal(both[1:], constant_turn(position[1:], velocity[1:], np.array([0.5]), 30))
    assert constant_turn(position[:0], velocity[:0], np.zeros(0), 30).shape == (0, 30, 2)
