from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception_datasets.scannet.folder import open_scans
from perception_datasets.stores.questions import read_questions, write_questions
from perception_datasets.stores.scenes import StoredScans, open_scene_store, prepare_scans

VIEWPOINT = Viewpoint(np.array([1.0, 2.0, 1.4]), np.array([0.0, 0.0, 0.6, 0.8]))
SCENE = "synthetic00000_00"


def question(i: int, viewpoint: Viewpoint | None = None, scene_id: str = SCENE) -> SceneQuestion:
    return SceneQuestion(i, scene_id, "I stand “here”.", "What is it?", ("chair", "armchair"), viewpoint)


@pytest.fixture
def scans(rooms_store: Path, tmp_path: Path) -> StoredScans:
    """A store of scenes without questions."""
    folder = tmp_path / "store"
    shutil.copytree(rooms_store, folder, ignore=shutil.ignore_patterns("questions"))
    return open_scene_store(folder)


def test_questions_are_read_back_in_order(scans: StoredScans) -> None:
    written = [question(220602000002, VIEWPOINT), question(7), SceneQuestion(1, SCENE, "", "Is it?", (), None)]
    write_questions(scans, "val", written)
    read = read_questions(scans.folder, "val")
    for one, other in zip(read, written, strict=True):
        assert one.viewpoint is None if other.viewpoint is None else one.viewpoint is not None
        if one.viewpoint is not None:
            np.testing.assert_array_equal(one.viewpoint.position, VIEWPOINT.position)
            np.testing.assert_array_equal(one.viewpoint.rotation, VIEWPOINT.rotation)
        for name in ("id", "scene_id", "situation", "question", "answers"):
            assert getattr(one, name) == getattr(other, name)


def test_writing_again_replaces_only_that_split(scans: StoredScans) -> None:
    write_questions(scans, "train", [question(1)])
    write_questions(scans, "val", [question(2), question(3)])
    write_questions(scans, "val", [question(4)])
    assert [q.id for q in read_questions(scans.folder, "train")] == [1]
    assert [q.id for q in read_questions(scans.folder, "val")] == [4]


def test_a_split_without_questions_is_empty(scans: StoredScans) -> None:
    write_questions(scans, "val", [])
    assert read_questions(scans.folder, "val") == []


def test_missing_questions_are_refused_with_the_command_to_run(scans: StoredScans) -> None:
    with pytest.raises(InputError, match="found none; run `perception prepare sqa3d`"):
        read_questions(scans.folder, "val")
    write_questions(scans, "val", [question(1)])
    with pytest.raises(InputError, match="expected a complete split 'test', found val"):
        read_questions(scans.folder, "test")


def test_a_question_that_is_given_twice_is_refused(scans: StoredScans) -> None:
    with pytest.raises(InputError, match="val: expected each question once, found 4 twice"):
        write_questions(scans, "val", [question(4), question(5), question(4)])


@pytest.mark.usefixtures("in_this_process")
def test_questions_joined_to_other_scenes_are_refused(made_rooms: Path, scans: StoredScans, tmp_path: Path) -> None:
    """Their viewpoints are in the frame of the scene, which the edit has moved."""
    write_questions(scans, "train", [question(1)])
    write_questions(scans, "val", [question(2, scene_id="synthetic00001_00")])
    shutil.copytree(made_rooms, tmp_path / "raw")
    path = tmp_path / "raw" / "scans" / f"{SCENE}_vert.npy"
    vertices = np.load(path)
    vertices[:, 3] = 255 - vertices[:, 3]
    np.save(path, vertices)
    list(prepare_scans(open_scans(tmp_path / "raw"), scans.folder, processes=1))
    assert [q.id for q in read_questions(scans.folder, "val")] == [2]
    refusal = rf"expected the scenes that the questions of train were joined to, found 1 that have changed.*{SCENE}"
    with pytest.raises(InputError, match=refusal):
        read_questions(scans.folder, "train")
    write_questions(open_scene_store(scans.folder), "train", [question(1)])
    assert [q.id for q in read_questions(scans.folder, "train")] == [1]
