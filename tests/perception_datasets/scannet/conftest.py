"""Small scans in all of ScanNet's formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

CLASSES = {2: "floor", 3: "cabinet", 5: "chair", 7: "table", 40: "backpack"}
"""NYU40 classes of the small scans, with a raw category of ScanNet for each."""
SIN = np.sin(0.3)
COS = np.cos(0.3)
ALIGNMENT = np.array([[COS, SIN, 0, -5.0], [-SIN, COS, 0, -3.0], [0, 0, 1, -0.1], [0, 0, 0, 1]])


@dataclass
class RawScan:
    """Content of the files: raw scan, labels and alignment."""

    name: str
    vertices: np.ndarray
    colors: np.ndarray
    semantic: np.ndarray
    instance: np.ndarray
    words: dict[int, str]
    alignment: np.ndarray

    @property
    def aligned(self) -> np.ndarray:
        turned = self.vertices.astype(np.float64) @ self.alignment[:3, :3].T + self.alignment[:3, 3]
        return turned.astype(np.float32)


def write_text(folder: Path, scan: RawScan) -> None:
    numbers = " ".join(repr(float(x)) for x in scan.alignment.ravel())
    (folder / f"{scan.name}.txt").write_text(f"axisAlignment = {numbers} \ncolorHeight = 968\n")


@pytest.fixture(scope="session")
def make_raw_scan() -> Callable[..., RawScan]:
    """Makes a scan of four objects, a floor and some unlabelled vertices, in the raw frame."""

    def make(name: str = "scene0001_00", seed: int = 0) -> RawScan:
        rng = np.random.default_rng(seed)
        instance = np.repeat([0, 1, 2, 3, 4, 5], 40)
        center = rng.uniform(2, 6, (6, 3))
        return RawScan(
            name=name,
            vertices=(center[instance] + rng.normal(0, 0.3, (240, 3))).astype(np.float32),
            colors=rng.integers(0, 256, (240, 3)).astype(np.uint8),
            semantic=np.array([0, 2, 3, 5, 5, 40])[instance],
            instance=instance,
            words=CLASSES,
            alignment=ALIGNMENT,
        )

    return make


@pytest.fixture(scope="session")
def write_official() -> Callable[..., Path]:
    """Writes a scan in ScanNet's own format: binary or ASCII mesh, oversegmented, objects as lists of segments."""

    def write(folder: Path, scan: RawScan, *, ascii_mesh: bool = False) -> Path:
        here = folder / scan.name
        here.mkdir(parents=True)
        rows = ["id\traw_category\tcategory\tnyu40id"]
        rows += [f"{i}\t{word}\t{word}\t{nyu40}" for i, (nyu40, word) in enumerate(scan.words.items())]
        (folder / "scannetv2-labels.combined.tsv").write_text("\n".join(rows) + "\n")
        write_text(here, scan)
        _write_mesh(here / f"{scan.name}_vh_clean_2.ply", scan, ascii_mesh)
        segment = 1000 + 2 * scan.instance + np.arange(len(scan.instance)) % 2  # two segments an object
        segments = {"sceneId": scan.name, "segIndices": segment.tolist()}
        (here / f"{scan.name}_vh_clean_2.0.010000.segs.json").write_text(json.dumps(segments))
        groups = [
            {
                "id": int(i) - 1,
                "objectId": int(i) - 1,
                "segments": np.unique(segment[scan.instance == i]).tolist(),
                "label": scan.words[int(scan.semantic[scan.instance == i][0])],
            }
            for i in np.unique(scan.instance)
            if i > 0
        ]
        (here / f"{scan.name}.aggregation.json").write_text(json.dumps({"segGroups": groups}))
        return here

    return write


def _write_mesh(path: Path, scan: RawScan, ascii_mesh: bool) -> None:
    kind = "ascii" if ascii_mesh else "binary_little_endian"
    properties = [f"property float {axis}" for axis in "xyz"]
    properties += [f"property uchar {color}" for color in ("red", "green", "blue", "alpha")]
    header = ["ply", f"format {kind} 1.0", f"element vertex {len(scan.vertices)}", *properties]
    header += ["element face 1", "property list uchar int vertex_indices", "end_header", ""]
    data = np.zeros(len(scan.vertices), dtype=[("xyz", "<f4", 3), ("rgba", "u1", 4)])
    data["xyz"], data["rgba"][:, :3], data["rgba"][:, 3] = scan.vertices, scan.colors, 255
    if ascii_mesh:
        lines = [" ".join([*(repr(float(x)) for x in row["xyz"]), *map(str, row["rgba"])]) for row in data]
        path.write_text("\n".join(header) + "\n".join([*lines, "3 0 1 2"]) + "\n")
    else:
        face = np.array([(3, (0, 1, 2))], dtype=[("n", "u1"), ("at", "<i4", 3)])
        path.write_bytes("\n".join(header).encode() + data.tobytes() + face.tobytes())


@pytest.fixture(scope="session")
def write_preprocessed() -> Callable[..., Path]:
    """Writes a scan as arrays: `scanqa` (raw and aligned, nine columns), `mmdet3d` (raw and a matrix), `votenet`."""

    def write(folder: Path, scan: RawScan, family: str, *, with_text: bool = True) -> Path:
        folder.mkdir(parents=True, exist_ok=True)

        def save(end: str, array: np.ndarray) -> None:
            np.save(folder / f"{scan.name}_{end}.npy", array)

        save("sem_label", scan.semantic.astype(np.uint32))
        save("ins_label", scan.instance.astype(np.uint32))
        colors = scan.colors.astype(np.float32)
        raw, aligned = (np.column_stack([xyz, colors]) for xyz in (scan.vertices, scan.aligned))
        if family == "scanqa":
            normals = np.zeros_like(colors)
            save("vert", np.column_stack([raw, normals]))
            save("aligned_vert", np.column_stack([aligned, normals]))
            save("aligned_bbox", _boxes(scan, scan.aligned, columns=8))
            save("bbox", _boxes(scan, scan.vertices, columns=8))
        elif family == "mmdet3d":
            save("vert", raw)
            save("axis_align_matrix", scan.alignment)
            save("aligned_bbox", _boxes(scan, scan.aligned, columns=7))
        else:
            save("vert", aligned)
            save("bbox", _boxes(scan, scan.aligned, columns=7))
            if with_text:
                write_text(folder, scan)
        return folder

    return write


def _boxes(scan: RawScan, points: np.ndarray, columns: int) -> np.ndarray:
    """Returns the boxes of objects of three classes, as exported for a benchmark."""
    rows = []
    for i in np.unique(scan.instance[np.isin(scan.semantic, (3, 5, 7))]):
        own = points[scan.instance == i].astype(np.float64)
        low, high = own.min(axis=0), own.max(axis=0)
        rows.append([*(low + high) / 2, *(high - low), scan.semantic[scan.instance == i][0], i - 1])
    return np.array(rows)[:, :columns]
