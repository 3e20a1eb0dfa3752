from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.metrics.localization import localization_errors, localization_hits
from perception.scenes.scene import Viewpoint


def viewpoint(x: float, y: float, yaw_deg: float, z: float = 0.0) -> Viewpoint:
    half = np.deg2rad(yaw_deg) / 2
    return Viewpoint(np.array([x, y, z]), np.array([0.0, 0.0, np.sin(half), np.cos(half)]))


angles = st.floats(-720, 720)


@settings(deadline=None, max_examples=50)
@given(angles, st.floats(-180, 180), st.floats(0, 5), angles)
def test_errors_are_the_shift_in_the_floor_plane_and_the_turn_about_z(yaw, turn, shift, direction) -> None:
    dx, dy = shift * np.cos(direction), shift * np.sin(direction)
    distance, angle = localization_errors([viewpoint(1 + dx, 2 + dy, yaw + turn, z=9.0)], [viewpoint(1, 2, yaw)])
    assert distance[0] == pytest.approx(shift, abs=1e-9)
    assert np.rad2deg(angle[0]) == pytest.approx(abs(turn), abs=1e-5)


def test_a_quaternion_and_its_negative_are_the_same_gaze() -> None:
    there = viewpoint(0, 0, 40)
    _, angle = localization_errors([Viewpoint(there.position, -there.rotation)], [there])
    assert angle[0] == pytest.approx(0, abs=1e-12)


def test_a_tilted_gaze_keeps_its_direction_about_z_and_a_vertical_one_is_wrong() -> None:
    def pitched(degrees: float) -> Viewpoint:
        half = np.deg2rad(degrees) / 2
        return Viewpoint(np.zeros(3), np.array([0.0, np.sin(half), 0.0, np.cos(half)]))

    given, true = [pitched(50), pitched(90), viewpoint(0, 0, 0)], [viewpoint(0, 0, 0), viewpoint(0, 0, 0), pitched(90)]
    _, angle = localization_errors(given, true)
    np.testing.assert_allclose(angle, [0.0, np.pi, np.pi], atol=1e-12)


def test_viewpoints_are_compared_one_by_one() -> None:
    with pytest.raises(ValueError, match="shorter"):
        localization_errors([viewpoint(0, 0, 0)] * 2, [viewpoint(0, 0, 0)])


def test_hits_are_counted_within_each_threshold() -> None:
    hits = localization_hits(np.array([0.2, 0.5, 0.7, 3.0]), np.deg2rad([15.0, 20.0, 30.0, 31.0]))
    shares = {name: of.mean() for name, of in hits.items()}
    assert shares == {"acc_0.5m": 0.5, "acc_1m": 0.75, "acc_15deg": 0.25, "acc_30deg": 0.75}
