from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from perception.geometry import SE2, SE3, yaw
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


def raised(objects: TrackedObjects, height_m: float) -> TrackedObjects:
    poses = objects.poses.copy()
    poses[:, 2] = height_m
    return replace(objects, poses=poses)


def test_predictions_keep_the_objects_and_begin_at_their_poses() -> None:
    objects = raised(planar([0.0, 1.0]), 4.0)
    rng = np.random.default_rng(0)
    positions, headings = rng.normal(size=(4, 5, 2)), rng.uniform(-3, 3, (4, 5))
    predicted = objects.predict(np.array([3, 1]), positions, headings, np.full(4, 0.25), time_step_s=0.1)
    assert predicted.path_counts.tolist() == [3, 1]
    assert set(predicted.pose_counts.tolist()) == {6}
    assert set(predicted.path_time_steps_ns.tolist()) == {100_000_000}
    paths = predicted.path_poses.reshape(4, 6, 7)
    np.testing.assert_array_equal(paths[:, 0], objects.poses[[0, 0, 0, 1]])
    np.testing.assert_array_equal(paths[:, 1:, :2], positions)
    np.testing.assert_allclose(yaw(paths[:, 1:, 3:]), headings, atol=1e-12)
    assert set(predicted.path_poses[:, 2].tolist()) == {4.0}
    np.testing.assert_array_equal(predicted.ids, objects.ids)
    assert predicted.sound.all()


def test_an_object_may_have_no_path_and_a_path_no_future() -> None:
    objects = planar([0.0, 1.0])
    nothing = objects.predict(np.zeros(2, int), np.zeros((0, 5, 2)), np.zeros((0, 5)), np.zeros(0), 0.1)
    assert (nothing.path_counts.tolist(), len(nothing.path_poses)) == ([0, 0], 0)
    present = objects.predict(np.array([0, 1]), np.zeros((1, 0, 2)), np.zeros((1, 0)), np.ones(1), 0.1)
    np.testing.assert_array_equal(present.path_poses, objects.poses[1:])


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e300, 0.0])
def test_paths_are_finite_although_the_pose_goes_out_as_it_came(broken: float) -> None:
    objects = planar([0.0, 1.0])
    poses = objects.poses.copy()
    poses[0, 2:] = broken
    objects = replace(objects, poses=poses)
    predicted = objects.predict(np.array([1, 1]), np.ones((2, 3, 2)), np.full((2, 3), 0.5), np.ones(2), 0.1)
    np.testing.assert_array_equal(predicted.poses, poses)
    assert np.isfinite(predicted.path_poses).all()
    np.testing.assert_allclose(yaw(predicted.path_poses[:, 3:]), [0.5] * 4 + [1.0] + [0.5] * 3)
    assert predicted.path_poses[0, :2].tolist() == poses[0, :2].tolist()


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 1e300])
def test_headings_and_velocities_that_are_not_usable_are_nan_and_cost_no_other(broken: float) -> None:
    objects = planar([0.0, 0.5, 1.0], [[1.0, 2.0]] * 3)
    poses, twists = objects.poses.copy(), objects.twists.copy()
    poses[0, 5], twists[1] = broken, broken
    objects = replace(objects, poses=poses, twists=twists)
    np.testing.assert_allclose(objects.headings, [np.nan, 0.5, 1.0])
    np.testing.assert_allclose(objects.velocities, [[np.nan] * 2, [np.nan] * 2, [1.0, 2.0]])
    np.testing.assert_allclose(objects.turn_rates, [np.nan, np.nan, 0.0])


def test_a_probability_that_is_nan_does_not_decide_the_label(make_tracked: Callable[..., TrackedObjects]) -> None:
    objects = replace(
        make_tracked(classes=(3,), corners=(0,)),
        class_labels=np.array([1, 2, 3], np.uint8),
        class_probabilities=np.array([0.25, np.nan, 0.5], np.float32),
    )
    assert objects.labels.tolist() == [3]


def tilted(seed: int, count: int = 4) -> TrackedObjects:
    """Objects of any orientation, with velocities and covariances that could be."""
    rng = np.random.default_rng(seed)
    objects = planar([0.0] * count)
    factors = rng.normal(size=(count, 6, 6))
    poses = np.column_stack([rng.normal(0, 100, (count, 3)), Rotation.random(count, rng=rng).as_quat()])
    covariances = factors @ factors.transpose(0, 2, 1)
    twists = rng.normal(0, 10, (count, 6))
    return replace(objects, poses=poses, pose_covariances=covariances.reshape(-1, 36), twists=twists)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_velocities_are_those_of_scipys_rotations(seed: int) -> None:
    objects = tilted(seed)
    turns = Rotation.from_quat(objects.poses[:, 3:])
    np.testing.assert_allclose(objects.velocities, turns.apply(objects.twists[:, :3])[:, :2], atol=1e-9)
    np.testing.assert_allclose(objects.turn_rates, turns.apply(objects.twists[:, 3:])[:, 2], atol=1e-9)
    np.testing.assert_allclose(objects.moving(np.ones((4, 2))).velocities, np.ones((4, 2)), atol=1e-9)


def any_transform(seed: int) -> SE3:
    rng = np.random.default_rng(seed)
    return SE3(Rotation.random(rng=rng).as_matrix(), rng.normal(0, 1000, 3))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), other=st.integers(0, 2**32 - 1))
def test_there_and_back_objects_are_the_same(seed: int, other: int) -> None:
    objects, map_SE3_base = tilted(seed), any_transform(other)
    there = objects.transformed("map", map_SE3_base)
    back = there.transformed("base_link", map_SE3_base.inverse())
    assert (there.frame_id, back.frame_id) == ("map", "base_link")
    signs = np.sign((back.poses[:, 3:] * objects.poses[:, 3:]).sum(axis=1, keepdims=True))  # q and -q are one rotation
    np.testing.assert_allclose(back.poses[:, :3], objects.poses[:, :3], rtol=0, atol=1e-9)
    np.testing.assert_allclose(signs * back.poses[:, 3:], objects.poses[:, 3:], rtol=0, atol=1e-9)
    np.testing.assert_allclose(back.pose_covariances, objects.pose_covariances, rtol=0, atol=1e-9)
    for field in fields(objects):
        if field.name not in ("frame_id", "poses", "pose_covariances"):
            np.testing.assert_array_equal(getattr(there, field.name), getattr(objects, field.name), err_msg=field.name)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), other=st.integers(0, 2**32 - 1))
def test_poses_and_covariances_are_transformed_as_small_changes_of_a_pose_are(seed: int, other: int) -> None:
    """A covariance is that of small moves and small turns about the axes of its frame: both are moved one by one."""
    objects, target_SE3_source = tilted(seed), any_transform(other)
    there = objects.transformed("map", target_SE3_source)
    turn = Rotation.from_matrix(target_SE3_source.rotation)
    for row in range(len(objects)):
        pose, placed = objects.poses[row], Rotation.from_quat(objects.poses[row, 3:])
        now = Rotation.from_quat(there.poses[row, 3:])
        np.testing.assert_allclose(there.poses[row, :3], target_SE3_source.apply(pose[:3]), atol=1e-9)
        np.testing.assert_allclose(now.as_matrix(), (turn * placed).as_matrix(), atol=1e-12)
        changes = []
        for column in np.linalg.cholesky(objects.pose_covariances[row].reshape(6, 6)).T:
            moved = target_SE3_source.apply(pose[:3] + column[:3]) - there.poses[row, :3]
            turned = turn * Rotation.from_rotvec(1e-3 * column[3:]) * placed * now.inv()
            changes.append(np.concatenate([moved, turned.as_rotvec() / 1e-3]))
        expected = np.transpose(changes) @ np.array(changes)
        np.testing.assert_allclose(there.pose_covariances[row].reshape(6, 6), expected, atol=1e-8)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), turn=ANGLES)
def test_objects_move_alike_in_every_frame(seed: int, turn: float) -> None:
    objects = tilted(seed)
    about_z = SE3(Rotation.from_euler("z", turn).as_matrix(), np.array([3.0, -4.0, 5.0]))
    there = objects.transformed("map", about_z)
    np.testing.assert_allclose(there.velocities, SE2(0.0, 0.0, turn).rotate(objects.velocities), atol=1e-9)
    np.testing.assert_allclose(there.turn_rates, objects.turn_rates, atol=1e-9)


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e300])
def test_broken_numbers_do_not_spoil_a_transform(broken: float) -> None:
    objects, transform = tilted(0), any_transform(1)
    expected = objects.transformed("map", transform).select(np.array([1, 3]))
    objects.poses[0, 4], objects.poses[2, 1], objects.pose_covariances[0, 7] = broken, broken, broken
    there = objects.transformed("map", transform)
    np.testing.assert_array_equal(there.poses[0, 3:], objects.poses[0, 3:])
    assert there.sound.tolist() == [False, True, False, True]
    np.testing.assert_array_equal(there.select(np.array([1, 3])).poses, expected.poses)
    np.testing.assert_array_equal(there.select(np.array([1, 3])).pose_covariances, expected.pose_covariances)


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
