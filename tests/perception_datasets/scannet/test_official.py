import json
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.geometry import SE3
from perception.scenes.scene import Scene
from perception_datasets.errors import RecordError
from perception_datasets.scannet.official import find_official_scans
from perception_datasets.scannet.preprocessed import PreprocessedScans
from perception_datasets.scannet.scan import Scan

MESH = "scene0001_00_vh_clean_2.ply"
SEGMENTS = "scene0001_00_vh_clean_2.0.010000.segs.json"
OBJECTS = "scene0001_00.aggregation.json"


def read_only(folder: Path) -> Scan:
    scans = find_official_scans(folder)
    assert scans is not None
    (name,) = scans.names()
    return scans.read(name)


@pytest.mark.parametrize("ascii_mesh", [False, True])
def test_a_scan_is_aligned_and_has_labels_and_boxes(
    tmp_path: Path, make_raw_scan: Callable, write_official: Callable, ascii_mesh: bool
) -> None:
    raw = make_raw_scan()
    write_official(tmp_path / "scans", raw, ascii_mesh=ascii_mesh)
    scene = read_only(tmp_path).scene
    np.testing.assert_array_equal(scene.points, raw.aligned)
    np.testing.assert_array_equal(scene.colors, raw.colors)
    np.testing.assert_array_equal(scene.semantic, raw.semantic)
    np.testing.assert_array_equal(scene.instance, raw.instance)
    assert scene.box_classes.tolist() == [3, 5, 5, 40]


@pytest.mark.parametrize("file", [MESH, SEGMENTS, OBJECTS, "scene0001_00.txt"])
def test_a_missing_file_is_named(tmp_path: Path, make_raw_scan: Callable, write_official: Callable, file: str) -> None:
    here = write_official(tmp_path, make_raw_scan())
    scans = find_official_scans(tmp_path)
    assert scans is not None
    (here / file).unlink()
    with pytest.raises(RecordError, match=f"{file}: no such file; download the scan again"):
        scans.read("scene0001_00")


@pytest.mark.parametrize("file", [MESH, SEGMENTS, OBJECTS])
def test_a_truncated_file_is_named(
    tmp_path: Path, make_raw_scan: Callable, write_official: Callable, file: str
) -> None:
    path = write_official(tmp_path, make_raw_scan()) / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RecordError, match=f"{file}: it cannot be parsed .*; download the scan again"):
        read_only(tmp_path)


@pytest.mark.parametrize(
    ("former", "other", "reason"),
    [
        (b"uchar red", b"uchar tag", "expected red of each vertex as a byte, found none"),
        (b"uchar blue", b"char blue", "expected blue of each vertex as a byte, found int8"),
    ],
)
def test_a_mesh_without_colours_is_named(
    tmp_path: Path, make_raw_scan: Callable, write_official: Callable, former: bytes, other: bytes, reason: str
) -> None:
    path = write_official(tmp_path, make_raw_scan()) / MESH
    path.write_bytes(path.read_bytes().replace(former, other, 1))
    with pytest.raises(RecordError, match=f"{MESH}: .*{reason}.*; download the scan again"):
        read_only(tmp_path)


def test_segments_of_another_mesh_are_refused(
    tmp_path: Path, make_raw_scan: Callable, write_official: Callable
) -> None:
    path = write_official(tmp_path, make_raw_scan()) / SEGMENTS
    path.write_text('{"segIndices": [1, 2]}')
    with pytest.raises(RecordError, match="expected segments of 240 vertices, found 2; download the scan again"):
        read_only(tmp_path)


def test_objects_of_another_segmentation_are_refused(
    tmp_path: Path, make_raw_scan: Callable, write_official: Callable
) -> None:
    path = write_official(tmp_path, make_raw_scan()) / OBJECTS
    objects = json.loads(path.read_text())
    objects["segGroups"][2]["segments"].append(77)
    path.write_text(json.dumps(objects))
    reason = r"object 2 \(chair\): expected segments of the mesh, found 1 that it lacks, such as 77"
    with pytest.raises(RecordError, match=rf"{OBJECTS}: .*{reason}"):
        read_only(tmp_path)


def test_segments_that_are_no_whole_numbers_are_refused(
    tmp_path: Path, make_raw_scan: Callable, write_official: Callable
) -> None:
    path = write_official(tmp_path, make_raw_scan()) / SEGMENTS
    segments = json.loads(path.read_text())
    segments["segIndices"][7] += 0.5
    path.write_text(json.dumps(segments))
    with pytest.raises(RecordError, match=rf"{SEGMENTS}: .*expected whole numbers, found 10\d\d.5"):
        read_only(tmp_path)


def test_a_scan_is_read_from_its_folder_and_the_label_map(
    tmp_path: Path, make_raw_scan: Callable, write_official: Callable
) -> None:
    here = write_official(tmp_path, make_raw_scan())
    scans = find_official_scans(tmp_path)
    assert scans is not None
    assert scans.inputs("scene0001_00") == (here, tmp_path / "scannetv2-labels.combined.tsv")


def test_a_category_without_a_class_is_named(tmp_path: Path, make_raw_scan: Callable, write_official: Callable) -> None:
    path = write_official(tmp_path, make_raw_scan()) / OBJECTS
    path.write_text(path.read_text().replace("backpack", "hoverboard"))
    with pytest.raises(RecordError, match=f"{OBJECTS}: it lacks 'hoverboard'"):
        read_only(tmp_path)


def test_a_missing_label_map_is_named(tmp_path: Path, make_raw_scan: Callable, write_official: Callable) -> None:
    write_official(tmp_path, make_raw_scan())
    (tmp_path / "scannetv2-labels.combined.tsv").unlink()
    with pytest.raises(InputError, match=r"expected scannetv2-labels.combined.tsv in it or above it"):
        find_official_scans(tmp_path)


def test_the_extra_is_named_if_trimesh_is_missing(
    tmp_path: Path, make_raw_scan: Callable, write_official: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_official(tmp_path, make_raw_scan())
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(InputError, match=r"needs trimesh; pip install 'frozen-perception\[lidar\]'"):
        find_official_scans(tmp_path)


def test_the_last_object_that_claims_a_segment_has_it(
    tmp_path: Path, make_raw_scan: Callable, write_official: Callable
) -> None:
    path = write_official(tmp_path, make_raw_scan()) / OBJECTS
    objects = json.loads(path.read_text())
    objects["segGroups"].append({"objectId": 7, "segments": [1002, 1003], "label": "table"})
    path.write_text(json.dumps(objects))
    scene = read_only(tmp_path).scene
    assert 8 in scene.box_instances
    assert scene.box_classes[scene.box_instances == 8].tolist() == [7]
    assert 1 not in scene.instance


def test_the_real_scan_written_as_official_files_is_the_same_scan(
    real_data: Path, tmp_path: Path, make_raw_scan: Callable, write_official: Callable, write_preprocessed: Callable
) -> None:
    source = real_data / "scannet_scene0000"
    vertices, semantic, instance = (
        np.load(source / f"scene0000_00_{end}_all.npy") for end in ("vert", "sem_label", "ins_label")
    )
    first = make_raw_scan()
    alignment = SE3.from_matrix(first.alignment)
    raw = replace(
        first,
        name="scene0000_00",
        vertices=alignment.inverse().apply(vertices[:, :3].astype(np.float64)).astype(np.float32),
        colors=vertices[:, 3:].astype(np.uint8),
        semantic=semantic.astype(np.int64),
        instance=instance.astype(np.int64),
        words={i: f"word {i}" for i in range(41)},
    )
    write_official(tmp_path / "official", raw)
    official = read_only(tmp_path / "official")
    for family in ("scanqa", "mmdet3d", "votenet"):
        arrays = PreprocessedScans(write_preprocessed(tmp_path / family, raw, family)).read("scene0000_00")
        for field in fields(Scene)[1:]:
            one, other = getattr(arrays.scene, field.name), getattr(official.scene, field.name)
            np.testing.assert_array_equal(one, other, strict=True, err_msg=f"{family} {field.name}")
