"""Generates rooms and questions by number: the same seed and number always result in the same room."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path

import numpy as np

from perception.files import alone_in
from perception.geometry import SE3
from perception.scenes.scene import Viewpoint
from perception_datasets.folders import mark_synthetic
from perception_datasets.rooms.balance import balance
from perception_datasets.rooms.layout import make_room
from perception_datasets.rooms.questions import ask
from perception_datasets.rooms.surface import scan_room
from perception_datasets.rooms.viewpoints import Standpoint, describe, find_standpoints
from perception_datasets.rooms.writer import ANSWERS, RoomQuestion, write_questions, write_scan
from perception_datasets.scannet.preprocessed import PreprocessedScans
from perception_datasets.sqa3d.answer_dict import FILE_NAME, write_answer_dict
from perception_datasets.sqa3d.scenes import to_pose
from perception_datasets.worker_pool import check_processes, worker_pool

SPLITS = ("train",) * 8 + ("val", "test")
"""Split of room n is `SPLITS[n % 10]`, so that a larger count moves no room to another split."""
STANDPOINTS = 8
_FIRST_ID = 900_000_000_000


def scene_id(number: int) -> str:
    """Returns the name of a room."""
    return f"synthetic{number:05d}_00"


def make_rooms(out: Path, *, count: int, seed: int, processes: int | None = None) -> Generator[str, None, None]:
    """Writes rooms 0 to `count` - 1 in parallel, yields the name of each, and then writes all questions.

    Existing scans are kept, so the same call continues an interrupted run.

    Raises:
        InputError: The folder holds other scans, another process writes to it, or it cannot be written to.
    """
    check_processes(processes)
    folder = out / "scans"
    marker = {"made_by": "perception sample rooms", "seed": seed, "note": "synthetic rooms, not scanned"}
    mark_synthetic(out, folder, marker)
    questions: dict[str, list[RoomQuestion]] = {split: [] for split in SPLITS}
    with alone_in(out, "perception sample") as lock, worker_pool(processes, lock, folder) as pool:
        folder.mkdir(exist_ok=True)
        for number, of_room in enumerate(pool.map(partial(write_room, folder, seed), range(count), chunksize=2)):
            questions[SPLITS[number % len(SPLITS)]] += of_room
            yield scene_id(number)
        for split, of_split in questions.items():
            rng = np.random.default_rng([seed, *split.encode()])
            keys = (lambda q: q.question, lambda q: (q.group, q.side))
            write_questions(out, split, balance(of_split, lambda q: q.answer, keys, rng))
        write_answer_dict(out / FILE_NAME, ANSWERS)


def write_room(folder: Path, seed: int, number: int) -> list[RoomQuestion]:
    """Writes the scan of a room, unless it exists; returns the room's questions."""
    name = scene_id(number)
    rng = np.random.default_rng([seed, number])
    room = make_room(rng)
    questions_from = [(s, ask(room, s, rng)) for s in find_standpoints(room, STANDPOINTS, rng)]
    scans = PreprocessedScans(folder)
    if not scans.path(name).is_file():
        write_scan(folder, name, scan_room(room, rng), _random_turn(rng), rng)
    frame = scans.read(name).scene_SE3_centred  # read back, because its origin depends on the stored points
    assert frame is not None
    questions: list[RoomQuestion] = []
    for standpoint, qs in questions_from:
        situations, pose = tuple(describe(standpoint, room)), to_pose(viewpoint(standpoint), frame)
        for q in qs:
            i = _FIRST_ID + 1000 * number + len(questions)
            questions.append(
                RoomQuestion(i, name, situations, q.question, q.answer, q.group, int(standpoint.side), pose)
            )
    return questions


def viewpoint(standpoint: Standpoint) -> Viewpoint:
    """Returns the viewpoint of a standpoint in the scene frame, which is the room frame."""
    half = (standpoint.heading_rad + np.pi) / 2  # the viewpoint looks along -x
    return Viewpoint(np.array([*standpoint.position, 0.0]), np.array([0.0, 0.0, np.sin(half), np.cos(half)]))


def _random_turn(rng: np.random.Generator) -> SE3:
    """Returns `scene_SE3_raw` of a raw scan with arbitrary yaw and origin."""
    yaw = rng.uniform(-np.pi, np.pi)
    rotation = np.array([[np.cos(yaw), -np.sin(yaw), 0.0], [np.sin(yaw), np.cos(yaw), 0.0], [0.0, 0.0, 1.0]])
    return SE3(rotation, rng.uniform(-5.0, 5.0, 3) * np.array([1.0, 1.0, 0.02]))
