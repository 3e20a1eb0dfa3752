import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_datasets.procedural.curves import bezier, length_of, offset, road_axis, split

angle = st.floats(-3.0, 3.0)


@settings(deadline=None, max_examples=30)
@given(heading=angle, length=st.floats(50, 200), turn=st.floats(-0.7, 0.7))
def test_a_road_has_its_length_and_turns_by_its_angle(heading: float, length: float, turn: float) -> None:
    axis = road_axis(np.zeros(2), heading, length, turn)
    np.testing.assert_allclose(length_of(axis), length, rtol=1e-9)
    pieces = np.diff(axis, axis=0)
    directions = np.unwrap(np.arctan2(pieces[:, 1], pieces[:, 0]))
    np.testing.assert_allclose(directions[-1] - directions[0], turn, atol=0.02)
    np.testing.assert_allclose(np.exp(1j * directions[0]), np.exp(1j * heading), atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(heading=angle, turn=st.floats(-0.5, 0.5), side=st.floats(-7, 7))
def test_a_parallel_curve_keeps_its_distance(heading: float, turn: float, side: float) -> None:
    axis = road_axis(np.zeros(2), heading, 120.0, turn)
    parallel = offset(axis, side)
    np.testing.assert_allclose(np.linalg.norm(parallel - axis, axis=1), abs(side), atol=1e-9)
    nearest = np.linalg.norm(parallel[:, None] - axis, axis=2).min(axis=1)
    assert (nearest > abs(side) - 0.3).all()


def test_pieces_share_their_ends_and_make_up_the_line() -> None:
    axis = road_axis(np.zeros(2), 0.0, 130.0, 0.4)
    pieces = split(axis, 40.0)
    assert len(pieces) == 3
    np.testing.assert_array_equal(np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])]), axis)


def test_a_right_angled_turn_is_nearly_a_circular_arc() -> None:
    curve = bezier(np.array([10.0, 0.0]), np.array([0.0, 1.0]), np.array([0.0, 10.0]), np.array([-1.0, 0.0]))
    np.testing.assert_allclose(np.linalg.norm(curve, axis=1), 10.0, atol=0.05)
    np.testing.assert_array_equal(curve[[0, -1]], [[10.0, 0.0], [0.0, 10.0]])
