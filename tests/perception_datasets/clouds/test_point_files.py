from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception_datasets.clouds.point_files import parse_points
from perception_datasets.errors import RecordError

POINTS = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


def as_text(separator: str) -> bytes:
    return "\n".join(separator.join(f"{value:.7g}" for value in (*row, 0.5)) for row in POINTS).encode()


def as_npy() -> bytes:
    np.save(stream := io.BytesIO(), POINTS)
    return stream.getvalue()


def as_kitti() -> bytes:
    return np.column_stack([POINTS, np.full(20, 0.3, np.float32)]).tobytes()


def as_open3d_writes(suffix: str, folder: Path) -> bytes:
    import open3d as o3d

    path = folder / f"a{suffix}"
    o3d.io.write_point_cloud(path, o3d.geometry.PointCloud(o3d.utility.Vector3dVector(POINTS.astype(np.float64))))
    return path.read_bytes()


def as_las(_suffix: str, folder: Path) -> bytes:
    import laspy

    header = laspy.LasHeader(point_format=0, version="1.2")
    header.scales, header.offsets = np.full(3, 1e-4), np.zeros(3)
    las = laspy.LasData(header)
    las.x, las.y, las.z = POINTS.astype(np.float64).T
    las.write(str(folder / "a.las"))
    return (folder / "a.las").read_bytes()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", as_text(",")),
        ("a.xyz", as_text("  ")),
        ("a.npy", as_npy()),
        ("a.bin", as_kitti()),
    ],
)
def test_positions_are_read(name: str, data: bytes) -> None:
    np.testing.assert_allclose(parse_points(Path(name), data), POINTS, rtol=1e-6)


@pytest.mark.parametrize(
    ("suffix", "write"), [(".ply", as_open3d_writes), (".pcd", as_open3d_writes), (".las", as_las)]
)
def test_files_of_other_libraries_are_read(suffix: str, write, tmp_path: Path) -> None:
    np.testing.assert_allclose(parse_points(Path(f"a{suffix}"), write(suffix, tmp_path)), POINTS, atol=1e-4)


@pytest.mark.parametrize("name", ["a.txt", "a.bin"])
def test_a_cloud_may_be_empty(name: str) -> None:
    assert parse_points(Path(name), b"").shape == (0, 3)


def test_missing_and_huge_values_are_kept_as_such() -> None:
    points = parse_points(Path("a.txt"), b"nan 0 0\n1e300 1 1\n")
    assert np.isnan(points[0, 0])
    assert np.isinf(points[1, 0])


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"1 2\n", "expected x, y and z in each line, found 2"),
        ("a.txt", b"1 2 3\n4 5\n", "cannot be parsed"),
        ("a.txt", b"a b c\n", "cannot be parsed"),
        ("a.bin", b"123", "expected a multiple of 16 bytes"),
        ("a.npy", as_npy()[:-4], "a.npy"),
        ("a.npy", as_npy().replace(b"(20, 3)", b"(99, 3)"), "a.npy"),
        ("a.npy", as_npy().replace(b"(20, 3)", b"(9999999, 3)"), "a.npy"),
        ("a.ply", b"ply\n", "expected the header of a PLY"),
        ("a.pcd", b"", "expected the header of a PCD"),
        ("a.las", b"LASF", "a.las"),
    ],
)
def test_a_bad_file_is_named(name: str, data: bytes, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        parse_points(Path(name), data)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=4), st.sampled_from(["a.txt", "a.npy", "a.bin"]))
def test_damaged_files_raise_nothing_else(place: int, junk: bytes, name: str) -> None:
    data = bytearray({"a.txt": as_text(","), "a.npy": as_npy(), "a.bin": as_kitti()}[name])
    data[place : place + len(junk)] = junk
    try:
        assert parse_points(Path(name), bytes(data)).shape[1] == 3
    except RecordError as error:
        if name not in str(error):
            raise


def test_kittis_own_objects_are_read(real_data: Path) -> None:
    for path in sorted((real_data / "kitti_crops").glob("*.bin")):
        points = parse_points(path, path.read_bytes())
        assert len(points) == path.stat().st_size // 16
        assert np.abs(points).max() < 10  # metres from the centre of the box
