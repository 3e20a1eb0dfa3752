"""Files of points, one cloud each: text, NumPy arrays, KITTI's binary files, PLY, PCD and LAS."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from perception.clouds.scan_formats import read_pcd, read_ply
from perception_datasets.clouds.records import MAX_POINTS
from perception_datasets.errors import bad_file, reading

SUFFIXES = (".txt", ".xyz", ".npy", ".bin", ".ply", ".pcd", ".las")
MAX_BYTES = 256 << 20
CURE = "copy it again, or leave it out"
_KITTI_COLUMNS = 4
"""x, y, z and the intensity, as float32."""


def parse_points(name: Path, data: bytes) -> Float32[np.ndarray, "points 3"]:
    """Returns the positions in a file; other columns are left out. There may be none, and some may not be finite.

    Args:
        name: Path to name in a message; its suffix is the format. In text, columns are separated by commas or spaces.
        data: Content.

    Raises:
        RecordError: The file is damaged or truncated.
    """
    suffix = name.suffix.lower()
    with reading(name, CURE):
        if suffix in (".txt", ".xyz"):
            points = _from_text(name, data)
        elif suffix == ".npy":
            points = _from_npy(name, data)
        elif suffix == ".bin":
            points = _from_kitti(name, data)
        elif suffix == ".ply":
            points = read_ply(name, data, CURE)[0]
        elif suffix == ".pcd":
            points = read_pcd(name, data, CURE)[0]
        else:
            points = _from_las(name, data)
        if len(points) > MAX_POINTS:
            raise bad_file(name, f"expected at most {MAX_POINTS:,} points, found {len(points):,}", CURE)
        with np.errstate(over="ignore"):  # becomes infinite, and is left out with what is missing
            return np.ascontiguousarray(points[:, :3], np.float32)


def _from_text(name: Path, data: bytes) -> np.ndarray:
    rows = data.decode("ascii").replace(",", " ").splitlines()
    table = np.loadtxt(rows, np.float32, ndmin=2, max_rows=MAX_POINTS + 1) if any(map(str.strip, rows)) else None
    if table is None:
        return np.zeros((0, 3), np.float32)
    if table.shape[1] < 3:
        raise bad_file(name, f"expected x, y and z in each line, found {table.shape[1]} numbers", CURE)
    return table


def _from_npy(name: Path, data: bytes) -> np.ndarray:
    version = np.lib.format.read_magic(stream := io.BytesIO(data))
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(stream)
    if len(shape) != 2 or shape[1] < 3 or dtype.kind != "f" or shape[0] > MAX_POINTS:
        found = f"found {dtype} of shape {shape}"
        raise bad_file(name, f"expected floating-point numbers of shape (points, 3 or more), {found}", CURE)
    return np.load(io.BytesIO(data), allow_pickle=False)


def _from_kitti(name: Path, data: bytes) -> np.ndarray:
    row = 4 * _KITTI_COLUMNS
    if len(data) % row:
        raise bad_file(name, f"expected a multiple of {row} bytes (x, y, z, intensity), found {len(data):,}", CURE)
    return np.frombuffer(data, "<f4").reshape(-1, _KITTI_COLUMNS)


def _from_las(name: Path, data: bytes) -> np.ndarray:
    import laspy

    with laspy.open(io.BytesIO(data), laz_backend=()) as file:
        count = file.header.point_count
        if count > MAX_POINTS or count * file.header.point_format.size > len(data):
            raise bad_file(
                name, f"expected at most {MAX_POINTS:,} points that are there, found {count:,} announced", CURE
            )
        return np.asarray(file.read().xyz)
