from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.errors import InputError
from perception_nodes.scene_qa.scan_file import read_scan

PLY = "ply\nformat {form} 1.0\nelement vertex {count}\n"
PROPERTIES = "".join(f"property float {name}\n" for name in "xyz")
COLORS = "".join(f"property uchar {name}\n" for name in ("red", "green", "blue"))
PCD = (
    "VERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\n"
    "WIDTH {count}\nHEIGHT 1\nPOINTS {count}\nDATA {form}\n"
)
ROWS = "1.5 2 3 255 128 0\n4 5 6 1 2 3\n"
PCD_ROWS = f"1.5 2 3 {0xFF8000}\n4 5 6 {0x010203}\n"
POINTS = np.array([[1.5, 2, 3], [4, 5, 6]], np.float32)
RGB = np.array([[255, 128, 0], [1, 2, 3]], np.uint8)


def packed() -> bytes:
    """The two points as binary PCD."""
    point = np.dtype([("xyz", "<f4", 3), ("rgb", "<u4")])
    return np.array([((1.5, 2, 3), 0xFF8000), ((4, 5, 6), 0x010203)], point).tobytes()


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian", "pcd ascii", "pcd binary"])
def test_points_and_colours_are_read_in_their_order(tmp_path: Path, form: str) -> None:
    if form.startswith("pcd"):
        path, kind = tmp_path / "scan.pcd", form.split()[1]
        head = PCD.format(count=2, form=kind).encode()
        path.write_bytes(head + (PCD_ROWS.encode() if kind == "ascii" else packed()))
    else:
        pytest.importorskip("trimesh")
        path, order = tmp_path / "scan.ply", ">" if "big" in form else "<"
        head = (PLY.format(form=form, count=2) + PROPERTIES + COLORS + "end_header\n").encode()
        body = np.array(
            [tuple(p) + tuple(c) for p, c in zip(POINTS, RGB, strict=True)],
            np.dtype([(name, f"{order}f4") for name in "xyz"] + [(name, "u1") for name in "rgb"]),
        )
        path.write_bytes(head + (ROWS.encode() if form == "ascii" else body.tobytes()))
    scan = read_scan(path, stamp_ns=7)
    np.testing.assert_array_equal(scan.points, POINTS)
    np.testing.assert_array_equal(scan.colors, RGB)
    assert (scan.version, scan.stamp_ns) == (1, 7)


def test_open3ds_files_are_read(tmp_path: Path) -> None:
    open3d: Any = pytest.importorskip("open3d")
    pytest.importorskip("trimesh")
    rng = np.random.default_rng(0)
    points, colors = rng.normal(size=(30, 3)), rng.integers(0, 256, (30, 3), np.uint8)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.colors = open3d.utility.Vector3dVector(colors / 255)
    for name, text in (("a.ply", True), ("b.ply", False), ("a.pcd", True), ("b.pcd", False)):
        open3d.io.write_point_cloud(str(tmp_path / name), cloud, write_ascii=text)
        scan = read_scan(tmp_path / name, stamp_ns=0)
        np.testing.assert_allclose(scan.points, points, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(scan.colors, colors)


def test_points_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    rows = PCD_ROWS.replace("1.5", "nan")
    (tmp_path / "a.pcd").write_text(PCD.format(count=2, form="ascii") + rows)
    np.testing.assert_array_equal(read_scan(tmp_path / "a.pcd", stamp_ns=0).points, POINTS[1:])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.ply", "ply\nformat ascii 1.0\nelement vertex", "expected the header of a PLY file with vertices"),
        ("a.ply", PLY.format(form="ascii", count=2) + PROPERTIES + "end_header\n1 2 3\n4 5 6\n", "without colours"),
        (
            "a.ply",
            PLY.format(form="ascii", count=2) + PROPERTIES + COLORS.replace("red", "alpha") + "end_header\n" + ROWS,
            "expected red, green and blue of each vertex, found no red",
        ),
        (
            "a.ply",
            PLY.format(form="ascii", count=3) + PROPERTIES + COLORS + "end_header\n" + ROWS,
            "expected 3 vertices",
        ),
        (
            "a.ply",
            PLY.format(form="binary_little_endian", count=10**12) + PROPERTIES + COLORS + "end_header\n" + ROWS,
            "it cannot be parsed",
        ),
        (
            "a.ply",
            PLY.format(form="ascii", count=2) + PROPERTIES + "end_header\nnan 2 3\nnan 5 6\n",
            "0 of them finite",
        ),
        ("a.pcd", "hello", "expected the header of a PCD file"),
        ("a.pcd", PCD.format(count=3, form="ascii") + PCD_ROWS, "expected 3 points as its header says, found 2"),
        ("a.pcd", PCD.format(count=10**12, form="binary") + "1234", "it cannot be parsed"),
        ("a.pcd", PCD.format(count=2, form="binary_compressed") + "1234", "pcl_convert_pcd_ascii_binary"),
        ("a.xyz", "1 2 3", r"expected a name that ends in \.ply or \.pcd"),
    ],
)
def test_what_is_no_whole_coloured_scan_is_refused_in_words(
    tmp_path: Path, name: str, content: str, reason: str
) -> None:
    pytest.importorskip("trimesh")
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name}: .*{reason}"):
        read_scan(tmp_path / name, stamp_ns=0)


def test_a_missing_scan_is_named(tmp_path: Path) -> None:
    for name in ("none.ply", "none.pcd", "none.xyz"):
        with pytest.raises(InputError, match=rf"{name}: no such file"):
            read_scan(tmp_path / name, stamp_ns=0)
