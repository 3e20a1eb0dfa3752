import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.scenes.scene import Scene
from perception_datasets.errors import RecordError
from perception_datasets.scannet.folder import open_scans
from perception_datasets.scannet.scan import Scan
from perception_datasets.stores import scenes, store
from perception_datasets.stores.scenes import (
    SCHEMA,
    RawScans,
    from_record,
    open_scene_store,
    prepare_scans,
    to_record,
)
from perception_datasets.stores.schema import Schema


def assert_equal(one: Scan, other: Scan) -> None:
    assert one.scene.id == other.scene.id
    for field in fields(Scene)[1:]:
        np.testing.assert_array_equal(getattr(one.scene, field.name), getattr(other.scene, field.name), strict=True)
    if other.scene_SE3_centred is None:
        assert one.scene_SE3_centred is None
    else:
        assert one.scene_SE3_centred is not None
        np.testing.assert_array_equal(one.scene_SE3_centred.matrix, other.scene_SE3_centred.matrix)


def contents(folder: Path) -> dict[Path, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def test_a_store_gives_the_same_scans(made_rooms: Path, rooms_store: Path) -> None:
    scans, stored = open_scans(made_rooms), open_scene_store(rooms_store)
    assert stored.source == "synthetic"
    assert stored.names() == scans.names()
    for name in scans.names():
        assert_equal(stored.read(name), scans.read(name))


def test_a_scan_of_unknown_alignment_survives_its_record(made_rooms: Path) -> None:
    scans = open_scans(made_rooms)
    scan = Scan(scans.read(scans.names()[0]).scene, None)
    assert_equal(from_record(to_record(scan)), scan)


def test_a_record_has_the_types_of_the_schema(made_rooms: Path) -> None:
    scans = open_scans(made_rooms)
    record = RawScans(scans).read(scans.names()[0])
    assert record.keys() == {name for name, _, _ in SCHEMA.fields}
    for name, dtype, dimensions in SCHEMA.fields:
        assert (record[name].dtype, record[name].ndim) == (np.dtype(dtype), dimensions), name


@pytest.mark.usefixtures("in_this_process")
def test_real_scans_survive_the_store(real_data: Path, tmp_path: Path) -> None:
    scans = open_scans(real_data / "scannet_scene0000")
    for one in prepare_scans(scans, tmp_path / "store", processes=1):
        assert not one.failures
    stored = open_scene_store(tmp_path / "store")
    assert stored.source == "scannet"
    for name in scans.names():
        assert_equal(stored.read(name), scans.read(name))


@pytest.mark.usefixtures("in_this_process")
def test_a_bad_scan_is_named_and_the_others_are_there(made_rooms: Path, tmp_path: Path) -> None:
    shutil.copytree(made_rooms, tmp_path / "raw")
    bad = tmp_path / "raw" / "scans" / "synthetic00003_00_vert.npy"
    bad.write_bytes(bad.read_bytes()[:1000])
    scans = open_scans(tmp_path / "raw")
    (outcome,) = prepare_scans(scans, tmp_path / "store", processes=1)
    failures = outcome.failures
    assert outcome.records == 10
    assert list(failures.reasons) == ["synthetic00003_00"]
    assert str(bad) in failures.report(of=10, noun="scans")
    assert len(open_scene_store(tmp_path / "store").names()) == 9


@pytest.mark.usefixtures("in_this_process")
def test_a_scan_edited_in_place_is_read_again(made_rooms: Path, tmp_path: Path) -> None:
    shutil.copytree(made_rooms, tmp_path / "raw")
    scans, folder = open_scans(tmp_path / "raw"), tmp_path / "store"
    list(prepare_scans(scans, folder, processes=1))
    name = scans.names()[2]
    former = open_scene_store(folder).digest(name)
    path = tmp_path / "raw" / "scans" / f"{name}_vert.npy"
    vertices = np.load(path)
    vertices[len(vertices) // 2, :2] += 0.5
    np.save(path, vertices)
    assert [one.renewed for one in prepare_scans(scans, folder, processes=1)] == [1]
    stored = open_scene_store(folder)
    assert_equal(stored.read(name), scans.read(name))
    assert stored.digest(name) != former


@pytest.mark.usefixtures("in_this_process")
def test_scans_without_objects_are_known(rooms_store: Path, tmp_path: Path, made_rooms: Path) -> None:
    assert open_scene_store(rooms_store).without_objects() == []
    shutil.copytree(made_rooms, tmp_path / "raw")
    for path in (tmp_path / "raw" / "scans").glob("synthetic00001_00_*"):
        if path.name.endswith("_ins_label.npy"):
            np.save(path, np.zeros_like(np.load(path)))
        elif path.name.endswith("bbox.npy"):
            path.unlink()
    list(prepare_scans(open_scans(tmp_path / "raw"), tmp_path / "store", processes=1))
    assert open_scene_store(tmp_path / "store").without_objects() == ["synthetic00001_00"]


PREPARE = """
import sys
from pathlib import Path
from perception_datasets.stores import scenes as scene_store
from perception_datasets.scannet.folder import open_scans
if __name__ == "__main__":
    scene_store.PART_SCENES = 2
    for _ in scene_store.prepare_scans(open_scans(Path(sys.argv[1])), Path(sys.argv[2]), processes=1):
        pass
"""


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_killed_run_is_continued_to_the_same_bytes(
    made_rooms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, killed, whole = tmp_path / "run.py", tmp_path / "killed", tmp_path / "whole"
    script.write_text(PREPARE)
    process = subprocess.Popen([sys.executable, str(script), str(made_rooms), str(killed)], start_new_session=True)
    while not (killed / "scenes" / "part-00001").exists():
        assert process.poll() is None
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "scenes" / "zarr.json").exists()
    monkeypatch.setattr(scenes, "PART_SCENES", 2)
    for folder in (killed, whole):
        list(prepare_scans(open_scans(made_rooms), folder, processes=1))
    assert contents(killed) == contents(whole)


def test_an_unknown_scene_is_refused_by_name(rooms_store: Path) -> None:
    with pytest.raises(InputError, match="expected 'scene0000_00' in scenes, found 10 others"):
        open_scene_store(rooms_store).read("scene0000_00")


def test_a_damaged_part_is_named(rooms_store: Path, tmp_path: Path) -> None:
    shutil.copytree(rooms_store, tmp_path / "store")
    shard = store.part_path(tmp_path / "store", "scenes", 0) / "bytes" / "c" / "0"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(RecordError, match=r"part-00000: record synthetic00000_00: expected the bytes that were writ"):
        open_scene_store(tmp_path / "store").read("synthetic00000_00")


def test_a_folder_without_a_store_of_scenes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none; make it with `perception prepare scannet`"):
        open_scene_store(tmp_path)
    store.create_store(tmp_path / "s", store.StoreInfo("forecasting", "x", Schema((("points", "<f8", 2),))))
    with pytest.raises(InputError, match="found one of forecasting records"):
        open_scene_store(tmp_path / "s")
