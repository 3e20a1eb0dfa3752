import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from perception.geometry import SE3
from perception.scenes.classes import NYU40
from perception.scenes.scene import Viewpoint
from perception_datasets.scannet.preprocessed import PreprocessedScans
from perception_datasets.scannet.scan import Scan
from perception_datasets.sqa3d.questions import Pose, Sqa3dQuestion
from perception_datasets.sqa3d.scenes import join_questions, to_pose, to_viewpoint
from perception_datasets.stores.scenes import StoredScans, open_scene_store

ALIGNMENT = np.array(
    [[0.945519, 0.325568, 0, -5.38439], [-0.325568, 0.945519, 0, -2.87178], [0, 0, 1, -0.06435], [0, 0, 0, 1]]
)
"""Alignment of scene0000_00, from its info file."""


def question(i: int, scene_id: str, pose: Pose | None) -> Sqa3dQuestion:
    return Sqa3dQuestion(i, scene_id, "Here.", ("There.",), "What?", ("chair",), pose)


POSE = Pose(np.array([1.0, 2.0, 0.0]), np.array([0.0, 0.0, 0.6, 0.8]))


def test_questions_without_a_scene_or_a_frame_are_counted_and_named(
    rooms_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = open_scene_store(rooms_store)
    known, unaligned = scans.names()[:2]
    read = StoredScans.read

    def read_without_frame(self: StoredScans, name: str) -> Scan:
        scan = read(self, name)
        return Scan(scan.scene, None) if name == unaligned else scan

    monkeypatch.setattr(StoredScans, "read", read_without_frame)
    ids = [known, "scene0707_00", unaligned, "scene0707_00", unaligned]
    questions = [question(i, scene_id, POSE) for i, scene_id in enumerate(ids)]
    joined = join_questions([*questions, question(9, known, None)], scans)
    assert [(q.id, q.viewpoint is None) for q in joined.questions] == [(0, False), (2, True), (4, True), (9, True)]
    assert joined.report().splitlines() == [
        "2 questions left out, because their scenes are not in the store: scene0707_00 (2)",
        "2 questions without a viewpoint; put <scene>.txt (with its axisAlignment) beside the scans: "
        "synthetic00001_00 (2)",
    ]
    assert join_questions(questions[:1], scans).report() == ""
    many = join_questions([question(i, f"scene{i:04d}_00", POSE) for i in range(13)], scans)
    assert many.report().endswith("scene0009_00 (1) and 3 more scenes")


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_pose_survives_conversion_to_the_scene_frame_and_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = SE3(Rotation.from_euler("z", rng.uniform(-3, 3)).as_matrix(), rng.normal(0, 3, 3))
    yaw = rng.uniform(-1.5, 1.5)
    pose = Pose(np.array([*rng.normal(0, 3, 2), 0.0]), np.array([0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)]))
    back = to_pose(to_viewpoint(pose, frame), frame)
    np.testing.assert_allclose(back.position, pose.position, atol=1e-9)
    np.testing.assert_allclose(np.abs(back.rotation @ pose.rotation), 1.0, atol=1e-9)


@pytest.fixture(scope="module")
def real_scan(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """scene0000_00 with all vertices and its alignment."""
    folder = tmp_path_factory.mktemp("real")
    for end in ("vert", "sem_label", "ins_label"):
        source = real_data / "scannet_scene0000" / f"scene0000_00_{end}_all.npy"
        (folder / f"scene0000_00_{end}.npy").symlink_to(source)
    (folder / "scene0000_00.txt").write_text("axisAlignment = " + " ".join(map(str, ALIGNMENT.ravel())))
    return PreprocessedScans(folder).read("scene0000_00")


@pytest.fixture(scope="module")
def real_poses(real_data: Path) -> dict[int, Pose]:
    """Poses of scene0000_00 in the train split, by situation."""
    path = real_data / "sqa3d" / "v1_localization_annotations_train_scannetv2.json"
    return {
        item["situation_id"]: Pose(
            np.array([item["position"][k] for k in "xyz"], dtype=np.float64),
            np.array([item["rotation"][f"_{k}"] for k in "xyzw"], dtype=np.float64),
        )
        for item in json.loads(path.read_text())["annotations"]
        if item["scene_id"] == "scene0000_00"
    }


def test_the_raw_cloud_is_where_the_alignment_says(real_data: Path, real_scan: Scan) -> None:
    raw = np.fromfile(real_data / "scannet_scene0000" / "demo_scene0000_00.bin", np.float32).reshape(-1, 6)
    aligned = SE3.from_matrix(ALIGNMENT).apply(raw[:, :3].astype(np.float64))
    distance, _ = KDTree(real_scan.scene.points).query(aligned)
    assert distance.max() < 1e-6
    assert real_scan.scene_SE3_centred is not None
    raw_center = SE3.from_matrix(ALIGNMENT).inverse().apply(real_scan.scene_SE3_centred.translation_m)
    np.testing.assert_allclose(raw_center, [4.19592, 4.36843, 1.51210], atol=1e-5)


def test_real_situations_fall_inside_the_room(real_scan: Scan, real_poses: dict[int, Pose]) -> None:
    assert len(real_poses) == 45
    frame = real_scan.scene_SE3_centred
    assert frame is not None
    positions = np.array([to_viewpoint(pose, frame).position for pose in real_poses.values()])
    np.testing.assert_allclose(positions.min(axis=0), [-2.77, -2.63, 1.4478], atol=0.01)
    np.testing.assert_allclose(positions.max(axis=0), [2.48, 1.96, 1.4478], atol=0.01)


@pytest.mark.parametrize(
    ("situation", "faced"),
    [
        (220601000670, "table"),  # I am sitting on a couch facing the coffee table …
        (220601003077, "table"),  # I am sitting on the couch facing the coffee table and the TV. …
        (220601014931, "refrigerator"),  # I am opening the refrigerator and there is a table behind me.
        (220601014937, "curtain"),  # I am opening the curtain and there is a bicycle on my right.
    ],
)
def test_real_viewpoints_face_what_their_situations_say(
    real_scan: Scan, real_poses: dict[int, Pose], situation: int, faced: str
) -> None:
    frame, scene = real_scan.scene_SE3_centred, real_scan.scene
    assert frame is not None
    viewpoint = to_viewpoint(real_poses[situation], frame)
    to_faced = scene.boxes[scene.box_classes == NYU40.index(faced), :2] - viewpoint.position[:2]
    nearest = to_faced[np.linalg.norm(to_faced, axis=1).argmin()]
    angle = np.arccos(nearest @ viewpoint.forward[:2] / np.linalg.norm(nearest))
    assert np.rad2deg(angle) < 30


def test_a_place_far_outside_its_scan_is_counted_and_left_out(rooms_store: Path) -> None:
    scans = open_scene_store(rooms_store)
    scan = scans.read(scans.names()[0])
    frame, corner = scan.scene_SE3_centred, scan.scene.points.max(axis=0)
    assert frame is not None
    poses = []
    for beyond in (1.9, 2.1, 500.0):
        viewpoint = Viewpoint(np.array([corner[0] + beyond, 0.0, 0.0]), POSE.rotation)
        poses.append(to_pose(viewpoint, frame))
    joined = join_questions([question(i, scan.scene.id, pose) for i, pose in enumerate(poses)], scans)
    assert [q.viewpoint is None for q in joined.questions] == [False, True, True]
    assert joined.report() == (
        "2 questions without a viewpoint, because theirs is more than 2 m outside the scan; compare the poses with the "
        "scan and its alignment: synthetic00000_00 (2)"
    )
