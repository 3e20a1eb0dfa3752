import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from perception.geometry import rotation_matrix
from perception.scenes.motion import MAX_SHIFT_M, random_motion
from perception.scenes.scene import Viewpoint

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_viewpoint_keeps_looking_at_the_same_thing_from_the_same_distance(seed: int, mirror: bool) -> None:
    rng = np.random.default_rng(seed)
    viewpoint = Viewpoint(rng.normal(0, 2, 3), Rotation.random(rng=rng).as_quat())
    ahead = viewpoint.position + 2.0 * viewpoint.forward
    motion = random_motion(rng, mirror=mirror)
    moved = motion.apply_to_viewpoint(viewpoint)
    np.testing.assert_allclose(moved.position + 2.0 * moved.forward, motion.apply(ahead), atol=1e-9)
    up = rotation_matrix(viewpoint.rotation)[:, 2]
    np.testing.assert_allclose(rotation_matrix(moved.rotation)[:, 2], motion.linear @ up, atol=1e-9)


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_left_stays_left_unless_mirror_images_are_asked_for(seed: int) -> None:
    motion = random_motion(np.random.default_rng(seed))
    assert np.linalg.det(motion.linear) == pytest.approx(1.0)
    np.testing.assert_allclose(motion.linear @ motion.linear.T, np.eye(3), atol=1e-12)
    assert np.abs(motion.translation).max() <= MAX_SHIFT_M
    assert motion.linear[2, 2] > np.cos(np.deg2rad(8))


def test_half_of_the_published_flips_are_mirror_images() -> None:
    rng = np.random.default_rng(0)
    mirrored = [np.linalg.det(random_motion(rng, mirror=True).linear) < 0 for _ in range(400)]
    assert 0.4 < np.mean(mirrored) < 0.6


def test_quarter_turns_take_the_axes_to_each_other_half_the_time() -> None:
    rng = np.random.default_rng(0)
    turned = [np.abs(random_motion(rng, quarter_turns=True).linear[0, 1]) > 0.9 for _ in range(400)]
    assert 0.4 < np.mean(turned) < 0.6
    assert not any(np.abs(random_motion(rng).linear[0, 1]) > 0.2 for _ in range(100))
