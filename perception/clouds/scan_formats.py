"""Points and colours in the content of PLY and PCD files.

Open3D is not used here: its reader of PLY overruns a buffer where a word is long, which ends the process, and it
returns uninitialised memory for what a truncated file lacks.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from perception.errors import InputError

MAX_HEADER_BYTES = 65_536
_PCD_TYPES = {"F": "f", "U": "u", "I": "i"}

Points = Float[np.ndarray, "points 3"]
Colors = UInt8[np.ndarray, "points 3"]


def read_ply(path: Path, data: bytes, cure: str) -> tuple[Points, Colors | None]:
    """Reads the vertices of a PLY file, which may also hold a mesh.

    Args:
        path: Path to name in a message.
        data: Content.
        cure: What to do about a file that cannot be used.

    Raises:
        InputError: It is damaged, or has colours of another kind than three bytes. A parser may raise anything else.
    """
    try:
        from trimesh.exchange.ply import load_ply
    except ImportError as error:
        raise InputError("trimesh: expected it to be installed; pip install 'frozen-perception[lidar]'") from error
    announced = re.search(rb"^element vertex (\d+)\s*$", data[:MAX_HEADER_BYTES], re.MULTILINE)
    if announced is None:
        raise InputError(f"{path}: expected the header of a PLY file with vertices, found none; {cure}")
    with np.errstate(all="ignore"):  # a number that does not fit its type is refused below
        mesh = load_ply(io.BytesIO(data))
    points, colors = mesh["vertices"], mesh.get("vertex_colors")
    if len(points) != int(announced[1]):
        raise InputError(
            f"{path}: expected {int(announced[1])} vertices as its header says, found {len(points)}; {cure}"
        )
    missing = {"red", "green", "blue"} - mesh["metadata"]["_ply_raw"]["vertex"]["properties"].keys()
    if colors is not None and missing:  # trimesh takes alpha for the missing colour
        raise InputError(f"{path}: expected red, green and blue of each vertex, found no {min(missing)}; {cure}")
    return points.astype(np.float64), None if colors is None else _colors(path, colors[:, :3], cure)


def read_pcd(path: Path, data: bytes, cure: str) -> tuple[Points, Colors | None]:
    """Reads PCL's format, ascii or binary; colours are a field rgb or rgba of four bytes, 0x00RRGGBB.

    Args and errors are those of `read_ply`.
    """
    head = re.search(rb"^DATA (\w+)\r?\n", data[:MAX_HEADER_BYTES], re.MULTILINE)
    if head is None:
        raise InputError(f"{path}: expected the header of a PCD file, found none; {cure}")
    lines = [line.split() for line in data[: head.start()].decode().splitlines() if line and line[0] != "#"]
    header = {name: values for name, *values in lines}
    names, count = header["FIELDS"], int(header["POINTS"][0])
    kinds = [f"<{_PCD_TYPES[kind]}{int(size)}" for kind, size in zip(header["TYPE"], header["SIZE"], strict=True)]
    counts = [int(number) for number in header.get("COUNT", ["1"] * len(names))]
    point = np.dtype([(name, kind, number) for name, kind, number in zip(names, kinds, counts, strict=True)])
    match head[1]:
        case b"binary":
            found = np.frombuffer(data, point, count, head.end())
        case b"ascii":
            rows = [tuple(line.split()) for line in data[head.end() :].decode().splitlines() if line.strip()]
            found = np.array(rows, point)
        case other:
            raise InputError(
                f"{path}: expected DATA ascii or binary, found {other.decode()}; convert it with "
                "`pcl_convert_pcd_ascii_binary IN OUT 1`"
            )
    if len(found) != count:
        raise InputError(f"{path}: expected {count} points as its header says, found {len(found)}; {cure}")
    points = np.stack([found[name].reshape(count) for name in "xyz"], axis=-1).astype(np.float64)
    packed = next((name for name in ("rgb", "rgba") if name in names), None)
    return points, None if packed is None else _unpacked(found[packed].reshape(count))


def _unpacked(packed: np.ndarray) -> Colors:
    words = np.ascontiguousarray(packed).view("<u4")
    return np.stack([words >> shift & 0xFF for shift in (16, 8, 0)], axis=-1).astype(np.uint8)


def _colors(path: Path, colors: Any, cure: str) -> Colors:
    if colors.dtype != np.uint8:
        raise InputError(f"{path}: expected colours of 0 to 255 (uchar), found {colors.dtype}; {cure}")
    return colors
