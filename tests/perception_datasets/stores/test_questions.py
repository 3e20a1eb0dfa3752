from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.scenes.scene import SceneQuestion, Viewpoint
from perception_datasets.stores.questions import read_questions, write_questions

VIEWPOINT = Viewpoint(np.array([1.0, 2.0, 1.4]), np.array([0.0, 0.0, 0.6, 0.8]))


def question(i: int, viewpoint: Viewpoint | None = None) -> SceneQuestion:
    return SceneQuestion(i, "scene0000_00", "I stand “here”.", "What is it?", ("chair", "armchair"), viewpoint)


def test_questions_are_read_back_in_order(tmp_path: Path) -> None:
    written = [question(220602000002, VIEWPOINT), question(7), SceneQuestion(1, "s", "", "Is it?", (), None)]
    write_questions(tmp_path, "scannet", "val", written)
    read = read_questions(tmp_path, "val")
    for one, other in zip(read, written, strict=True):
        assert one.viewpoint is None if other.viewpoint is None else one.viewpoint is not None
        if one.viewpoint is not None:
            np.testing.assert_array_equal(one.viewpoint.position, VIEWPOINT.position)
            np.testing.assert_array_equal(one.viewpoint.rotation, VIEWPOINT.rotation)
        for name in ("id", "scene_id", "situation", "question", "answers"):
            assert getattr(one, name) == getattr(other, name)


def test_writing_again_replaces_only_that_split(tmp_path: Path) -> None:
    write_questions(tmp_path, "scannet", "train", [question(1)])
    write_questions(tmp_path, "scannet", "val", [question(2), question(3)])
    write_questions(tmp_path, "scannet", "val", [question(4)])
    assert [q.id for q in read_questions(tmp_path, "train")] == [1]
    assert [q.id for q in read_questions(tmp_path, "val")] == [4]


def test_a_split_without_questions_is_empty(tmp_path: Path) -> None:
    write_questions(tmp_path, "scannet", "val", [])
    assert read_questions(tmp_path, "val") == []


def test_missing_questions_are_refused_with_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none; run `perception prepare sqa3d`"):
        read_questions(tmp_path, "val")
    write_questions(tmp_path, "scannet", "val", [question(1)])
    with pytest.raises(InputError, match="expected a complete split 'test', found val"):
        read_questions(tmp_path, "test")
