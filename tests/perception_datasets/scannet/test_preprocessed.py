from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception_datasets.errors import RecordError
from perception_datasets.scannet.official import find_official_scans
from perception_datasets.scannet.preprocessed import PreprocessedScans, find_preprocessed_scans
from perception_datasets.scannet.scan import Scan

FAMILIES = ("scanqa", "mmdet3d", "votenet")
NAME = "scene0001_00"


def assert_same(one: Scan, other: Scan) -> None:
    assert one.scene.id == other.scene.id
    np.testing.assert_allclose(one.scene.points, other.scene.points, atol=1e-6)
    np.testing.assert_allclose(one.scene.boxes, other.scene.boxes, atol=1e-6)
    for name in ("colors", "semantic", "instance", "box_classes", "box_instances"):
        np.testing.assert_array_equal(getattr(one.scene, name), getattr(other.scene, name), strict=True)
    assert one.scene_SE3_centred is not None
    assert other.scene_SE3_centred is not None
    np.testing.assert_allclose(one.scene_SE3_centred.matrix, other.scene_SE3_centred.matrix, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_the_scan_of_the_official_files(
    tmp_path: Path, make_raw_scan: Callable, write_official: Callable, write_preprocessed: Callable, family: str
) -> None:
    raw = make_raw_scan()
    write_official(tmp_path / "official", raw)
    official = find_official_scans(tmp_path / "official")
    arrays = find_preprocessed_scans(write_preprocessed(tmp_path / "arrays" / "scans", raw, family).parent)
    assert official is not None
    assert arrays is not None
    assert arrays.names() == [NAME]
    assert_same(arrays.read(NAME), official.read(NAME))


def test_the_raw_frame_is_unknown_for_aligned_arrays_alone(
    tmp_path: Path, make_raw_scan: Callable, write_preprocessed: Callable
) -> None:
    folder = write_preprocessed(tmp_path, make_raw_scan(), "votenet", with_text=False)
    assert PreprocessedScans(folder).read(NAME).scene_SE3_centred is None


def test_boxes_exported_in_the_raw_frame_are_refused(
    tmp_path: Path, make_raw_scan: Callable, write_preprocessed: Callable
) -> None:
    folder = write_preprocessed(tmp_path, make_raw_scan(), "scanqa")
    (folder / f"{NAME}_bbox.npy").rename(folder / f"{NAME}_aligned_bbox.npy")
    with pytest.raises(
        RecordError,
        match=r"_aligned_bbox.npy: expected boxes around the objects .* another frame than the vertices\); export",
    ):
        PreprocessedScans(folder).read(NAME)


@pytest.mark.parametrize("end", ["vert", "aligned_vert", "sem_label", "ins_label", "aligned_bbox"])
def test_a_truncated_array_is_named(
    tmp_path: Path, make_raw_scan: Callable, write_preprocessed: Callable, end: str
) -> None:
    path = write_preprocessed(tmp_path, make_raw_scan(), "scanqa") / f"{NAME}_{end}.npy"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(RecordError, match=f"{path.name}: it cannot be parsed .*; export the scan"):
        PreprocessedScans(path.parent).read(NAME)


@pytest.mark.parametrize(
    ("end", "columns", "expected"),
    [("vert", 5, "any rows of 6 or 9"), ("aligned_vert", 3, "240 rows of 6 or 9"), ("ins_label", 2, "240 rows")],
)
def test_an_array_of_another_shape_is_named(
    tmp_path: Path, make_raw_scan: Callable, write_preprocessed: Callable, end: str, columns: int, expected: str
) -> None:
    path = write_preprocessed(tmp_path, make_raw_scan(), "scanqa") / f"{NAME}_{end}.npy"
    np.save(path, np.zeros((240, columns), np.float32))
    with pytest.raises(
        RecordError, match=rf"{path.name}: .*expected {expected}, found shape \(240, {columns}\).*; exp"
    ):
        PreprocessedScans(path.parent).read(NAME)


def test_aligned_vertices_of_another_scan_are_refused(
    tmp_path: Path, make_raw_scan: Callable, write_preprocessed: Callable
) -> None:
    path = write_preprocessed(tmp_path, make_raw_scan(), "scanqa") / f"{NAME}_aligned_vert.npy"
    np.save(path, np.load(path)[::-1])
    with pytest.raises(RecordError, match="expected a rigid transform of the raw vertices, found other points"):
        PreprocessedScans(path.parent).read(NAME)


def test_real_boxes_are_exactly_those_of_the_instances(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "scannet_scene0000"
    for end in ("vert", "sem_label", "ins_label"):
        (tmp_path / f"scene0000_00_{end}.npy").symlink_to(source / f"scene0000_00_{end}_all.npy")
    scene = PreprocessedScans(tmp_path).read("scene0000_00").scene
    boxes = np.load(source / "scene0000_00_bbox.npy")
    rows = [scene.box_instances.tolist().index(i) for i in np.load(source / "scene0000_00_bbox_idx.npy")]
    assert len(rows) == 27
    np.testing.assert_array_equal(scene.boxes[rows], boxes[:, :6])
    np.testing.assert_array_equal(scene.box_classes[rows], boxes[:, 6])


def test_real_arrays_of_50000_vertices_pass_with_their_boxes(real_data: Path) -> None:
    scans = find_preprocessed_scans(real_data / "scannet_scene0000")
    assert scans is not None
    assert scans.names() == [f"scene0000_0{i}" for i in range(3)]
    for name in scans.names():
        assert len(scans.read(name).scene.points) == 50_000


@pytest.mark.parametrize(
    ("end", "value", "message"),
    [
        ("vert", np.full((240, 6), 300.0), "expected colours from 0 to 255, found 300 to 300"),
        ("vert", np.full((240, 6), 0.5), "expected colours from 0 to 255, found fractions from 0 to 1"),
        ("vert", np.full((240, 6), np.nan), "expected colours from 0 to 255, found nan to nan"),
        ("vert", np.full((240, 6), "x"), "expected numbers, found <U1"),
        ("sem_label", np.full(240, 2.5), "expected whole numbers, found 2.5"),
        ("ins_label", np.full(240, np.nan), "expected whole numbers, found nan"),
        ("ins_label", np.full(240, None), "it cannot be parsed"),
        ("bbox", np.full((2, 7), np.nan), "expected finite numbers, found others"),
    ],
)
def test_values_that_would_be_changed_by_their_conversion_are_refused(
    tmp_path: Path, make_raw_scan: Callable, write_preprocessed: Callable, end: str, value: np.ndarray, message: str
) -> None:
    path = write_preprocessed(tmp_path, make_raw_scan(), "votenet") / f"{NAME}_{end}.npy"
    np.save(path, value, allow_pickle=True)
    with pytest.raises(RecordError, match=rf"{path.name}: .*{message}.*; export the scan again"):
        PreprocessedScans(path.parent).read(NAME)


def test_an_array_that_states_more_than_its_file_holds_is_refused_before_it_is_allocated(
    tmp_path: Path, make_raw_scan: Callable, write_preprocessed: Callable
) -> None:
    path = write_preprocessed(tmp_path, make_raw_scan(), "votenet") / f"{NAME}_vert.npy"
    path.write_bytes(path.read_bytes().replace(b"(240, 6), }        ", b"(240000000000, 6), }", 1))
    with pytest.raises(RecordError, match=f"{path.name}: it cannot be parsed"):
        PreprocessedScans(path.parent).read(NAME)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_scan_is_read_from_the_files_that_are_there(
    tmp_path: Path, make_raw_scan: Callable, write_preprocessed: Callable, family: str
) -> None:
    folder = write_preprocessed(tmp_path, make_raw_scan(), family)
    assert sorted(PreprocessedScans(folder).inputs(NAME)) == sorted(folder.iterdir())
