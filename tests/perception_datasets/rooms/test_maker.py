import shutil
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.scenes.classes import NYU40
from perception_datasets.rooms.maker import make_rooms
from perception_datasets.sqa3d.questions import question_files
from perception_datasets.sqa3d.questions import read_questions as read_files
from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import open_scene_store


def test_an_interrupted_run_gives_the_same_files_in_the_end(made_rooms: Path, tmp_path: Path) -> None:
    out = tmp_path / "rooms"
    shutil.copytree(made_rooms, out)
    for path in out.glob("v1_balanced*"):
        path.unlink()
    victim = next((out / "scans").glob("*_vert.npy"))
    victim.unlink()  # as a kill between the files of a room leaves it
    (out / "scans" / f".{victim.name.removesuffix('_vert.npy')}").mkdir()
    for _ in make_rooms(out, count=10, seed=3, processes=1):
        pass
    files = {p.relative_to(out) for p in out.rglob("*") if p.is_file()}
    assert files == {p.relative_to(made_rooms) for p in made_rooms.rglob("*") if p.is_file()}
    for name in files:
        assert (out / name).read_bytes() == (made_rooms / name).read_bytes(), name


def test_scenes_of_different_splits_are_different(made_rooms: Path) -> None:
    scenes = {s: {q.scene_id for q in read_files(*question_files(made_rooms, s))} for s in ("train", "val", "test")}
    assert len(scenes["train"]) == 8
    assert len(scenes["train"] | scenes["val"] | scenes["test"]) == 10


def test_rooms_of_another_seed_are_not_mixed_in(made_rooms: Path) -> None:
    with pytest.raises(InputError, match=r"expected what .* made with seed 4, found .*'seed': 3"):
        next(make_rooms(made_rooms, count=10, seed=4, processes=1))


def test_viewpoints_are_in_the_room_and_face_what_the_situation_says(rooms_store: Path) -> None:
    read = cache(open_scene_store(rooms_store).read)
    for question in read_questions(rooms_store, "train"):
        scene = read(question.scene_id).scene
        viewpoint = question.viewpoint
        assert viewpoint is not None
        low, high = scene.points.min(axis=0), scene.points.max(axis=0)
        assert (viewpoint.position > low).all()
        assert (viewpoint.position < high).all()
        *_, faced = question.situation.split(" and there")[0].split()
        own = scene.boxes[scene.box_classes == NYU40.index(faced), :2]
        to_own = own - viewpoint.position[:2]
        along = to_own @ viewpoint.forward[:2] / np.linalg.norm(to_own, axis=1)
        assert along.max() > np.cos(np.deg2rad(2.0)), question


def test_the_text_of_a_question_does_not_reveal_its_answer(made_rooms: Path) -> None:
    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for q in read_files(*question_files(made_rooms, "train")):
        answers[q.question][q.answers[0]] += 1
    held_out = [q for split in ("val", "test") for q in read_files(*question_files(made_rooms, split))]
    hits = [answers[q.question].most_common(1)[0][0] == q.answers[0] for q in held_out if q.question in answers]
    assert len(hits) > 50
    assert np.mean(hits) < 0.45
