from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_nodes.ros.objects import Label, PredictedObjects, TrackedObjects, numbers_within

ANGLES = st.floats(-3.1, 3.1)


def planar(headings: list[float], velocities: list[list[float]] | None = None) -> TrackedObjects:
    count = len(headings)
    return TrackedObjects.planar(
        stamp_ns=5,
        frame_id="map",
        ids=np.arange(16 * count, dtype=np.uint8).reshape(count, 16),
        positions=np.arange(2.0 * count).reshape(count, 2),
        headings=np.array(headings),
        velocities=np.zeros((count, 2)) if velocities is None else np.array(velocities),
        labels=np.full(count, Label.BUS),
        dimensions=np.tile([12.0, 2.5, 3.0], (count, 1)),
    )


@settings(deadline=None, max_examples=30)
@given(heading=ANGLES, speed=st.floats(-30, 30), drift=st.floats(-1, 1))
def test_planar_objects_say_what_they_were_made_of(heading: float, speed: float, drift: float) -> None:
    objects = planar([heading], [[speed, drift]])
    np.testing.assert_allclose(objects.headings, [heading], atol=1e-9)
    np.testing.assert_allclose(objects.velocities, [[speed, drift]], atol=1e-9)
    assert objects.labels.tolist() == [Label.BUS]
    assert objects.sound.all()


def test_twists_are_in_the_objects_own_frame() -> None:
    objects = planar([np.pi / 2], [[0.0, 10.0]])
    np.testing.assert_allclose(objects.twists[0, :2], [10.0, 0.0], atol=1e-9)


def test_the_most_probable_class_is_the_label(make_tracked: Callable[..., TrackedObjects]) -> None:
    objects = replace(
        make_tracked(classes=(2, 0, 3), corners=(0, 0, 0)),
        class_labels=np.array([1, 7, 4, 5, 6], np.uint8),
        class_probabilities=np.array([0.25, 0.75, 0.4, 0.4, 0.2], np.float32),
    )
    assert objects.labels.tolist() == [7, Label.UNKNOWN, 4]


@settings(deadline=None, max_examples=30)
@given(lists=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=5), data=st.data())
def test_selected_objects_keep_their_own_lists(
    make_tracked: Callable[..., TrackedObjects], lists: list, data: st.DataObject
) -> None:
    objects = make_tracked(1, *zip(*lists, strict=True))
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=6))
    chosen = objects.select(np.array(rows, np.int64))
    assert len(chosen) == len(rows)
    for i, row in enumerate(rows):
        one, expected = chosen.select(np.array([i])), objects.select(np.array([row]))
        np.testing.assert_array_equal(one.poses[0], objects.poses[row])
        before = sum(corners for _, corners in lists[:row])
        np.testing.assert_array_equal(one.footprints, objects.footprints[before : before + lists[row][1]])
        np.testing.assert_array_equal(one.class_labels, expected.class_labels)


def test_objects_are_selected_by_a_mask_too() -> None:
    assert planar([0.0, 1.0, 2.0]).select(np.array([True, False, True])).headings == pytest.approx([0.0, 2.0])


def test_predictions_keep_the_objects_and_lie_at_their_height() -> None:
    objects = planar([0.0, 1.0])
    objects = replace(objects, poses=objects.poses + np.array([0, 0, 4.0, 0, 0, 0, 0]))
    positions = np.random.default_rng(0).normal(size=(2, 3, 5, 2))
    headings = np.zeros((2, 3, 5))
    predicted = objects.predict(positions, headings, np.full((2, 3), 0.25), time_step_s=0.1)
    assert predicted.path_counts.tolist() == [3, 3]
    assert set(predicted.pose_counts.tolist()) == {5}
    assert set(predicted.path_time_steps_ns.tolist()) == {100_000_000}
    np.testing.assert_array_equal(predicted.path_poses[:, :2].reshape(2, 3, 5, 2), positions)
    assert set(predicted.path_poses[:, 2].tolist()) == {4.0}
    np.testing.assert_array_equal(predicted.ids, objects.ids)
    assert predicted.sound.all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("poses", np.nan),
        ("poses", 1e300),
        ("poses", -np.inf),
        ("twists", np.nan),
        ("accelerations", np.inf),
        ("dimensions", -1.0),
    ],
)
def test_only_the_object_with_a_broken_number_is_not_sound(field: str, value: float) -> None:
    objects = planar([0.0, 1.0, 2.0])
    numbers = getattr(objects, field).copy()
    numbers[1, 0] = value
    assert replace(objects, **{field: numbers}).sound.tolist() == [True, False, True]


def test_a_quaternion_that_is_no_rotation_is_not_sound() -> None:
    objects = planar([0.0, 1.0])
    for scale in (0.0, 1.01, 1e7):
        poses = objects.poses.copy()
        poses[0, 3:] *= scale
        assert replace(objects, poses=poses).sound.tolist() == [False, True]


def test_only_the_object_of_a_broken_path_is_not_sound(make_predicted: Callable[..., PredictedObjects]) -> None:
    objects = make_predicted(poses=((2, 0), (), (3,)))
    assert objects.sound.all()
    poses = objects.path_poses.copy()
    poses[4, 1] = np.nan
    assert replace(objects, path_poses=poses).sound.tolist() == [True, True, False]
    confidences = np.array([0.5, np.nan, 0.5], np.float32)
    assert replace(objects, path_confidences=confidences).sound.tolist() == [False, True, True]


def test_lists_must_have_the_lengths_that_are_counted(make_predicted: Callable[..., PredictedObjects]) -> None:
    objects = make_predicted()
    with pytest.raises(ValueError, match=r"footprints has 6 members; expected 7"):
        replace(objects, footprints=objects.footprints[1:])
    with pytest.raises(ValueError, match="path_poses"):
        replace(objects, path_poses=objects.path_poses[1:])


def test_members_are_numbered_within_their_lists() -> None:
    assert numbers_within(np.array([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]
