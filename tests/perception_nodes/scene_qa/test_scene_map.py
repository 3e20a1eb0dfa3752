import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.errors import InputError
from perception.geometry import SE3
from perception.scenes.scene import Scene
from perception_nodes.scene_qa.scene_map import (
    CloudArrival,
    PosedCloud,
    SceneMap,
    SceneMapSettings,
    SceneSnapshot,
)

HERE = SE3(np.eye(3), np.zeros(3))


def cloud(points: np.ndarray, stamp_ns: int = 1, colors: np.ndarray | None = None, pose: SE3 = HERE) -> PosedCloud:
    colors = np.full((len(points), 3), 100, np.uint8) if colors is None else colors
    return PosedCloud(stamp_ns, pose, points, colors)


def room(count: int = 500, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2, 2, (count, 3))


def shown(scene: SceneMap) -> SceneSnapshot:
    snapshot = scene.snapshot()
    assert snapshot is not None
    return snapshot


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([0.05, 0.3, 1.0]), st.integers(1, 4))
def test_a_voxel_is_the_mean_of_its_points_however_they_came(seed: int, voxel_m: float, clouds: int) -> None:
    rng = np.random.default_rng(seed)
    points, colors = room(200, seed), rng.integers(0, 256, (200, 3), np.uint8)
    scene = SceneMap(SceneMapSettings(voxel_m=voxel_m))
    for part in np.array_split(rng.permutation(200), clouds):
        assert scene.add(cloud(points[part], colors=colors[part])).is_added
    by_voxel: dict[tuple, list[int]] = {}
    for i, key in enumerate(map(tuple, np.floor(points / voxel_m).astype(int).tolist())):
        by_voxel.setdefault(key, []).append(i)
    rows = [by_voxel[key] for key in sorted(by_voxel)]
    snapshot = shown(scene)
    np.testing.assert_allclose(snapshot.points, [points[row].mean(axis=0) for row in rows], atol=1e-6)
    np.testing.assert_array_less(np.abs(snapshot.colors - [colors[row].mean(axis=0) for row in rows]), 0.5 + 1e-6)


def test_open3d_finds_the_same_points() -> None:
    open3d = pytest.importorskip("open3d")
    theirs = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(room()))
    theirs, _, _ = theirs.voxel_down_sample_and_trace(0.25, np.full(3, -2.5), np.full(3, 2.5))
    ours = SceneMap(SceneMapSettings(voxel_m=0.25))
    ours.add(cloud(room()))
    expected, found = np.asarray(theirs.points), shown(ours).points
    np.testing.assert_allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)], atol=1e-6)


def test_clouds_are_placed_by_their_pose() -> None:
    quarter_left = SE3(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([10.0, 0, 1]))
    scene = SceneMap()
    scene.add(cloud(np.array([[2.0, 0, 0]]), pose=quarter_left))
    np.testing.assert_allclose(shown(scene).points, [[10, 2, 1]])


def test_memory_is_bounded_and_what_was_seen_last_stays() -> None:
    scene = SceneMap(SceneMapSettings(voxel_m=0.1, max_voxels=300))
    for step in range(40):
        moved = SE3(np.eye(3), np.array([5.0 * step, 0, 0]))
        scene.add(cloud(room(200, seed=step), stamp_ns=step + 1, pose=moved))
        assert len(scene) <= 300
    points = shown(scene).points
    assert points[:, 0].min() > 5 * 38 - 2.1
    newest = np.unique(np.floor((room(200, seed=39) + np.array([195.0, 0, 0])) / 0.1), axis=0)
    assert (np.floor(points / 0.1)[:, None] == newest).all(-1).any(0).all()


def test_of_one_cloud_that_is_too_much_an_even_part_stays() -> None:
    scene = SceneMap(SceneMapSettings(voxel_m=0.1, max_voxels=1000))
    scene.add(cloud(room(20_000)))
    octants = (shown(scene).points > 0) @ [1, 2, 4]
    assert len(scene) == 1000
    assert np.bincount(octants, minlength=8).min() > 80


def test_what_is_not_finite_or_too_far_is_left_out_and_counted() -> None:
    points = np.array([[0.0, 0, 0], [np.nan, 0, 0], [0, np.inf, 0], [0, 0, -np.inf], [1e30, 0, 0], [0, 100.1, 0]])
    scene = SceneMap()
    assert scene.add(cloud(points)).is_added
    assert len(shown(scene).points) == 1
    assert scene.points_left_out == 5


@pytest.mark.parametrize(
    ("broken", "arrival"),
    [
        (cloud(np.zeros((0, 3))), CloudArrival.EMPTY),
        (cloud(np.full((4, 3), np.nan)), CloudArrival.EMPTY),
        (cloud(np.full((4, 3), 1e38, np.float32)), CloudArrival.EMPTY),
        (cloud(np.zeros((4, 3)), pose=SE3(np.eye(3), np.array([1e9, 0, 0]))), CloudArrival.EMPTY),
        (cloud(room(101)), CloudArrival.TOO_LARGE),
        (cloud(np.zeros((4, 2))), CloudArrival.MISSHAPEN),
        (cloud(np.zeros(3), colors=np.zeros(3, np.uint8)), CloudArrival.MISSHAPEN),
        (cloud(np.zeros((4, 3)), colors=np.zeros((3, 3), np.uint8)), CloudArrival.MISSHAPEN),
        (cloud(np.zeros((4, 3)), colors=np.zeros((4, 3))), CloudArrival.MISSHAPEN),
        (cloud(np.zeros((4, 3)), pose=SE3(np.eye(3), np.array([np.nan, 0, 0]))), CloudArrival.BAD_POSE),
        (cloud(np.zeros((4, 3)), pose=SE3(2 * np.eye(3), np.zeros(3))), CloudArrival.BAD_POSE),
    ],
)
def test_a_malformed_cloud_is_refused_counted_and_changes_nothing(broken: PosedCloud, arrival: CloudArrival) -> None:
    scene = SceneMap(SceneMapSettings(max_cloud_points=100))
    assert scene.add(broken) is arrival
    assert scene.snapshot() is None
    scene.add(cloud(room(50)))
    before = scene.snapshot()
    assert scene.add(broken) is arrival
    assert scene.snapshot() is before
    assert scene.counts == {arrival: 2, CloudArrival.ADDED: 1}


def test_versions_rise_with_every_cloud_and_the_stamp_is_the_newest() -> None:
    scene = SceneMap()
    for stamp, expected in ((5, 5), (9, 9), (7, 9)):  # the last came late
        scene.add(cloud(room(10), stamp_ns=stamp))
        assert shown(scene).stamp_ns == expected
    assert shown(scene).version == 3
    assert scene.snapshot() is scene.snapshot()


def test_snapshots_are_whole_while_others_add() -> None:
    scene = SceneMap(SceneMapSettings(voxel_m=0.1))
    point = np.array([[0.05, 0.05, 0.05]])

    def add(number: int) -> None:
        for step in range(50):
            scene.add(cloud(point + np.array([number, 0, 0]), stamp_ns=step))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    versions = []
    while any(thread.is_alive() for thread in threads):
        if snapshot := scene.snapshot():
            versions.append(snapshot.version)
            assert np.isfinite(snapshot.points).all()
            assert len(snapshot.points) == len(snapshot.colors)
    assert versions == sorted(versions)
    assert (shown(scene).version, len(scene)) == (200, 4)


def test_a_scene_is_taken_as_it_is() -> None:
    nothing = np.zeros(5, np.int64)
    none = nothing[:0]
    points, colors = room(5).astype(np.float32), np.zeros((5, 3), np.uint8)
    scene = Scene("s", points, colors, nothing, nothing, np.zeros((0, 6), np.float32), none, none)
    snapshot = SceneSnapshot.of_scene(scene, 3)
    assert (snapshot.version, snapshot.stamp_ns) == (1, 3)
    assert snapshot.points is scene.points
    assert snapshot.colors is scene.colors


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match=r"voxel_m: expected more than 0, got 0\.0"):
        replace(SceneMapSettings(), voxel_m=0.0)
