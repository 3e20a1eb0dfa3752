from pathlib import Path

import numpy as np

from perception.geometry import SE3
from perception_datasets.rooms.layout import make_room
from perception_datasets.rooms.surface import scan_room
from perception_datasets.rooms.writer import RoomQuestion, write_questions, write_scan
from perception_datasets.scannet.preprocessed import PreprocessedScans
from perception_datasets.sqa3d.questions import Pose, question_files, read_questions


def test_a_written_room_is_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    room = make_room(rng)
    scan = scan_room(room, rng)
    scene_SE3_raw = SE3(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([1.0, 2.0, 0.1]))
    write_scan(tmp_path, "room", scan, scene_SE3_raw, rng)
    read = PreprocessedScans(tmp_path).read("room")
    points = scan.points.astype(np.float32)
    order, back = np.lexsort(points.T), np.lexsort(read.scene.points.T)
    np.testing.assert_array_equal(read.scene.points[back], points[order])
    np.testing.assert_array_equal(np.bincount(read.scene.instance), np.bincount(scan.instance))
    assert len(read.scene.boxes) == len(room.items)
    assert read.scene_SE3_centred is not None
    np.testing.assert_array_equal(read.scene_SE3_centred.rotation, scene_SE3_raw.rotation)
    assert len(list(tmp_path.iterdir())) == 5


def test_written_questions_are_read_back_as_sqa3ds_files(tmp_path: Path) -> None:
    pose = Pose(np.array([1.0, 2.0, 0.0]), np.array([0.0, 0.0, 0.6, 0.8]))
    written = RoomQuestion(9, "room", ("a", "b", "c"), "Is it?", "yes", "is", 1, pose)
    write_questions(tmp_path, "val", [written])
    (read,) = read_questions(*question_files(tmp_path, "val"))
    assert (read.id, read.scene_id, read.situation, read.question, read.answers) == (9, "room", "a", "Is it?", ("yes",))
    assert read.alternative_situations == ("b", "c")
    assert read.pose is not None
    np.testing.assert_array_equal(read.pose.position, pose.position)
    np.testing.assert_array_equal(read.pose.rotation, pose.rotation)
