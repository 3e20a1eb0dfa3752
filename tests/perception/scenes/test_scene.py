from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.scenes.scene import Viewpoint


def test_without_rotation_the_asker_looks_along_minus_x():
    viewpoint = Viewpoint(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))
    np.testing.assert_allclose(viewpoint.forward, [-1, 0, 0])


@given(st.floats(-np.pi, np.pi))
def test_turning_about_z_turns_the_gaze(angle: float):
    viewpoint = Viewpoint(np.zeros(3), np.array([0.0, 0.0, np.sin(angle / 2), np.cos(angle / 2)]))
    np.testing.assert_allclose(viewpoint.forward, [-np.cos(angle), -np.sin(angle), 0], atol=1e-12)


def test_the_gaze_is_the_quaternions_rotation_as_scipy_computes_it():
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation.random(random_state=3)
    viewpoint = Viewpoint(np.zeros(3), rotation.as_quat())
    np.testing.assert_allclose(viewpoint.forward, rotation.apply([-1.0, 0.0, 0.0]), atol=1e-12)
