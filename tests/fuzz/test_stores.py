"""Damaged stores, scans, questions and word vectors."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from perception.geometry import SE3
from perception.scenes.scene import Scene, SceneQuestion
from perception.texts.word_vectors import read_word_vectors
from perception.traffic.scenario import AgentTracks, MapPolylines, Scenario
from perception_datasets.scannet import official
from perception_datasets.scannet.folder import open_scans
from perception_datasets.scannet.scan import Scan
from perception_datasets.sqa3d.answer_dict import read_answer_dict
from perception_datasets.sqa3d.questions import read_questions, read_situations
from perception_datasets.stores import forecasting, part, questions, scenes, shared_rows, store
from perception_datasets.stores.frames import read_frame
from perception_datasets.stores.group import digest, load_attributes, write_group
from perception_datasets.stores.schema import Record, Schema

Fuzz = Callable[..., None]


def _read_stores(folder: Path) -> None:
    part.open_index.cache_clear()
    part._open_part.cache_clear()
    shared_rows.open_rows.cache_clear()
    scenarios = forecasting.find_store(folder / "scenarios", "val")
    assert scenarios is None or [scenarios.read(name) for name in scenarios.names()]
    scans = scenes.open_scene_store(folder / "scenes")
    for name in scans.names():
        scans.read(name)
    scans.without_objects()
    questions.read_questions(folder / "scenes", "val")


def _read_forged_stores(folder: Path) -> None:
    """Reads the stores as one would forge them: with digests that fit what was damaged."""
    with TemporaryDirectory() as scratch:
        forged = Path(scratch) / "stores"
        shutil.copytree(folder, forged)
        for place, schema in (
            ("scenarios/val", forecasting.SCHEMA),
            ("scenes/scenes", scenes.SCHEMA),
            ("scenes/questions/val", questions.SCHEMA),
        ):
            with suppress(Exception):
                _forge(forged / place, schema)
        _read_stores(forged)


def _forge(split: Path, schema: Schema) -> None:
    """Writes a new digest of each record and group of a split and its store, as far as they can be parsed."""
    path = split / "part-00000"
    index = load_attributes(path, "")
    assert index is not None
    table, segments = _forge_table(split)
    with suppress(Exception):
        _forge_records(path, schema, index, table)
    own = _seal(path, index)
    attributes = load_attributes(split, "")
    assert attributes is not None
    _seal(split, {**attributes, "parts": [own], "segments": segments})
    _seal(split.parent, load_attributes(split.parent, "") or {})


def _forge_table(split: Path) -> tuple[shared_rows.Rows, list[str]]:
    """Writes new digests of a split's table; returns its rows and its digest, if it has one."""
    path = shared_rows.segment_path(split, 0)
    if not path.is_dir():
        return part.NO_ROWS, []
    index = load_attributes(path, "")
    assert index is not None
    with suppress(Exception):
        _forge_records(path, shared_rows._SCHEMA, index, part.NO_ROWS)
    own = _seal(path, index)
    with suppress(Exception):
        return shared_rows.read_segment(path, own), [own]
    return part.NO_ROWS, [own]


def _forge_records(path: Path, schema: Schema, index: dict[str, Any], table: shared_rows.Rows) -> None:
    """Puts the checksum and the digest of each record into the index, as far as it can be parsed."""
    whole = (path / part.CHUNK).read_bytes()
    frames = [whole[start:end] for start, end in pairwise(np.cumsum([0, *index["sizes"]]))]
    index["checksums"] = [zlib.crc32(frame) for frame in frames]
    for row, (frame, shapes) in enumerate(zip(frames, index["shapes"], strict=True)):
        data, places = read_frame(schema, frame, shapes)
        rows = table[places] if len(places) else np.zeros((0, schema.table_shape(shapes)[1]), np.uint8)
        index["digests"][row] = digest(data, rows)


def _seal(folder: Path, attributes: dict[str, Any]) -> str:
    return write_group(folder, {key: value for key, value in attributes.items() if key != "digest"})


def _read_scans(folder: Path) -> None:
    official._read_label_map.cache_clear()
    for family in ("official", "votenet", "mmdet3d", "scanqa"):
        scans = open_scans(folder / family)
        for name in scans.names():
            scenes.to_record(scans.read(name))


def _read_sqa3d(folder: Path) -> None:
    read_questions(folder / "questions.json", folder / "annotations.json")
    read_situations(folder / "situations.json", folder / "places.json")
    read_answer_dict(folder / "answer_dict.json")
    read_word_vectors(folder / "glove.txt")
    read_word_vectors(folder / "glove.txt", {"chair"})


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of scenarios, and one of scenes and questions, both tiny."""
    folder = tmp_path_factory.mktemp("stores")
    _write(folder / "scenarios", forecasting.KIND, forecasting.SCHEMA, "val", forecasting.to_record(_scenario()))
    _write(folder / "scenes", scenes.KIND, scenes.SCHEMA, "scenes", scenes.to_record(_scan()))
    question = SceneQuestion(3, "a", "I stand here.", "What is it?", ("chair",), None)
    questions.write_questions(scenes.open_scene_store(folder / "scenes"), "val", [question])
    return folder


def _write(folder: Path, kind: str, schema: Schema, split: str, record: Record) -> None:
    store.create_store(folder, store.StoreInfo(kind, "synthetic", schema))
    path = store.part_path(folder, split, 0)
    packed = part.PackedRecord(*schema.pack(record), "0")
    rows = np.frombuffer(packed.rows, np.uint8).reshape(schema.table_shape(packed.shapes))
    writer = shared_rows.RowWriter(folder / split)
    (places,) = writer.places([rows])
    part.write_part(path, schema, {"a": packed}, {}, {"a": places})
    segments = map(shared_rows.segment_digest, shared_rows.segment_folders(folder / split))
    store.finish_split(folder, split, store.SplitInfo((part.read_index(path, schema).digest,), tuple(segments)))


def _scenario() -> Scenario:
    agents = AgentTracks(
        ids=("1", "2"),
        kinds=np.zeros(2, np.int64),
        position=np.ones((2, 5, 2)),
        heading=np.zeros((2, 5)),
        velocity=np.zeros((2, 5, 2)),
        valid=np.ones((2, 5), bool),
        scored=np.ones(2, bool),
    )
    lanes = MapPolylines(
        ids=np.arange(1),
        points=np.arange(20.0).reshape(1, 10, 2),
        kinds=np.zeros(1, np.int64),
        turns=np.zeros(1, np.int64),
        is_intersection=np.zeros(1, bool),
        has_traffic_control=np.zeros(1, bool),
    )
    return Scenario("a", "synthetic", "city", agents, lanes, history_steps=3, focal=0, ego=None)


def _scan() -> Scan:
    labels = np.array([0, 3, 3], np.int64)
    scene = Scene(
        id="a",
        points=np.eye(3, dtype=np.float32),
        colors=np.eye(3, dtype=np.uint8),
        semantic=labels,
        instance=labels,
        boxes=np.ones((1, 6), np.float32),
        box_classes=labels[:1],
        box_instances=labels[1:2],
    )
    return Scan(scene, SE3(np.eye(3), np.zeros(3)))


VERTICES = np.random.default_rng(0).uniform(0, 2, (12, 3)).astype(np.float32)
LABELS = np.repeat([0, 5, 7], 4)
TEXT = "axisAlignment = 1 0 0 -1 0 1 0 0 0 0 1 0 0 0 0 1\ncolorHeight = 968\n"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same scan as ScanNet's own files, and as arrays of three families."""
    folder = tmp_path_factory.mktemp("scans")
    _write_official(folder / "official" / "a")
    (folder / "official" / official.LABEL_MAP).write_text("id\traw_category\tnyu40id\n1\tchair\t5\n2\ttable\t7\n")
    raw = np.column_stack([VERTICES, np.full((12, 3), 200)]).astype(np.float32)
    aligned = raw - np.array([1, 0, 0, 0, 0, 0], np.float32)
    for family in ("votenet", "mmdet3d", "scanqa"):
        place = folder / family
        place.mkdir()
        np.save(place / "a_vert.npy", aligned if family == "votenet" else raw)
        np.save(place / "a_sem_label.npy", LABELS.astype(np.uint32))
        np.save(place / "a_ins_label.npy", (LABELS // 3).astype(np.uint32))
    own = aligned[LABELS == 5, :3]
    box = [*(own.min(0) + own.max(0)) / 2, *(own.max(0) - own.min(0)), 5]
    np.save(folder / "votenet" / "a_bbox.npy", np.array([box]))
    (folder / "votenet" / "a.txt").write_text(TEXT)
    matrix = np.eye(4)
    matrix[0, 3] = -1
    np.save(folder / "mmdet3d" / "a_axis_align_matrix.npy", matrix)
    np.save(folder / "scanqa" / "a_aligned_vert.npy", aligned)
    return folder


def _write_official(here: Path) -> None:
    here.mkdir(parents=True)
    header = ["ply", "format binary_little_endian 1.0", "element vertex 12"]
    header += [f"property float {axis}" for axis in "xyz"]
    header += [f"property uchar {color}" for color in ("red", "green", "blue", "alpha")]
    header += ["element face 1", "property list uchar int vertex_indices", "end_header", ""]
    data = np.zeros(12, dtype=[("xyz", "<f4", 3), ("rgba", "u1", 4)])
    data["xyz"] = VERTICES
    face = np.array([(3, (0, 1, 2))], dtype=[("n", "u1"), ("at", "<i4", 3)])
    (here / "a_vh_clean_2.ply").write_bytes("\n".join(header).encode() + data.tobytes() + face.tobytes())
    (here / "a.txt").write_text(TEXT)
    segments = {"segIndices": np.arange(12).tolist()}
    (here / "a_vh_clean_2.0.010000.segs.json").write_text(json.dumps(segments))
    groups = [
        {"objectId": 0, "segments": [4, 5, 6, 7], "label": "chair"},
        {"objectId": 1, "segments": [8, 9, 10, 11], "label": "table"},
    ]
    (here / "a.aggregation.json").write_text(json.dumps({"segGroups": groups}))


@pytest.fixture(scope="module")
def sqa3d(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of SQA3D's release, and word vectors."""
    folder = tmp_path_factory.mktemp("sqa3d")
    pose = {"position": {"x": 1.0, "y": 2.0, "z": 0}, "rotation": {"_x": 0, "_y": 0, "_z": 0.6, "_w": 0.8}}
    asked = {"scene_id": "a", "situation": "Here.", "alternative_situation": ["There."], "question": "What is it?"}
    for name, content in {
        "questions": {"questions": [{"question_id": i, **asked} for i in (1, 2)]},
        "annotations": {
            "annotations": [
                {"question_id": i, "scene_id": "a", "answers": [{"answer": "chair"}], **pose} for i in (1, 2)
            ]
        },
        "situations": {"situations": [{"situation_id": 7, "scene_id": "a", "situation": "Here.", "augmented": False}]},
        "places": {"annotations": [{"situation_id": 7, "scene_id": "a", **pose}]},
        "answer_dict": [{"yes": 0, "chair": 1}, {"0": "yes", "1": "chair"}],
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "glove.txt").write_text("the 0.1 -0.2 3e-1\nchair 1 2 3\nunk 0.5 0.5 0.5\n")
    return folder


def test_damaged_stores_are_refused_in_one_sentence(fuzz: Fuzz, stores: Path) -> None:
    fuzz(_read_stores, stores)


def test_forged_stores_are_refused_in_one_sentence(fuzz: Fuzz, stores: Path) -> None:
    fuzz(_read_forged_stores, stores)


def test_damaged_scans_are_refused_in_one_sentence(fuzz: Fuzz, scans: Path) -> None:
    fuzz(_read_scans, scans)


def test_damaged_files_of_sqa3d_are_refused_in_one_sentence(fuzz: Fuzz, sqa3d: Path) -> None:
    fuzz(_read_sqa3d, sqa3d)
