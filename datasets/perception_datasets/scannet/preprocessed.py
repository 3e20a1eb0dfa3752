"""Reader of ScanNet as NumPy arrays, as other code bases preprocess it, with all scans in one folder.

    <scene>_sem_label.npy, <scene>_ins_label.npy       NYU40 class and instance (from 1) of each vertex
    <scene>_vert.npy                                   x, y, z, red, green, blue[, normal] of each vertex
    <scene>_bbox.npy or _aligned_bbox.npy              one box per row: centre, full size, class[, object]

The other files tell whether `_vert.npy` is aligned with the axes:

* with `_aligned_vert.npy` beside it, it is the raw scan (ScanRefer, ScanQA, SQA3D);
* with `_axis_align_matrix.npy` beside it, it is the raw scan (newer mmdetection3d);
* otherwise it is aligned (VoteNet, older mmdetection3d), and `<scene>.txt`, if there is one, states the transform.

The stored boxes are only a check. They were computed from all vertices, of which the arrays hold 50,000 at most, and
lack the classes that the benchmark does not use. One export of the ScanRefer family stored unaligned boxes as aligned.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, UInt8

from perception.geometry import SE3
from perception.scenes.scene import Scene
from perception_datasets.errors import RecordError, reading
from perception_datasets.folders import is_synthetic
from perception_datasets.scannet.alignment import read_alignment
from perception_datasets.scannet.scan import Scan, make_scan, whole_numbers

CURE = "export the scan again, or delete its files"
VERTICES = "_vert.npy"
ALIGNED_VERTICES = "_aligned_vert.npy"
_MATRIX = "_axis_align_matrix.npy"
_BOXES = ("_aligned_bbox.npy", "_bbox.npy")
_ENDINGS = (VERTICES, ALIGNED_VERTICES, "_sem_label.npy", "_ins_label.npy", _MATRIX, ".txt", *_BOXES)
MAX_BOX_SHIFT_M = 0.15
"""In scene0000, boxes of all vertices and of 50,000 differ by up to 0.06 m; unaligned boxes differ by metres."""


@dataclass(frozen=True)
class PreprocessedScans:
    """Scans stored as arrays in one folder."""

    folder: Path

    @property
    def source(self) -> str:
        """Name of the data set: `scannet`, or `synthetic` for generated rooms."""
        return "synthetic" if is_synthetic(self.folder) else "scannet"

    def names(self) -> list[str]:
        """Returns the names of the scans in alphabetical order."""
        return sorted(
            path.name.removesuffix(VERTICES)
            for path in self.folder.glob(f"*{VERTICES}")
            if not path.name.endswith(ALIGNED_VERTICES)
        )

    def path(self, name: str) -> Path:
        """Returns the path of a scan's vertices."""
        return self.folder / (name + VERTICES)

    def inputs(self, name: str) -> list[Path]:
        """Returns the files of a scan that are there."""
        paths = (self.folder / (name + end) for end in _ENDINGS)
        return [path for path in paths if path.is_file()]

    def read(self, name: str) -> Scan:
        """Reads one scan in the axis-aligned frame."""
        with reading(self.path(name), CURE):
            vertices = _load(self.path(name), columns=(6, 9)).astype(np.float32)
            colors = _colors(vertices[:, 3:6])
        points, scene_SE3_raw = self._align(name, vertices[:, :3])
        semantic, instance = (self._read_labels(name, kind, len(vertices)) for kind in ("sem", "ins"))
        with reading(self.path(name), CURE):
            scan = make_scan(name, points, colors, semantic, instance, scene_SE3_raw)
        self._check_boxes(scan.scene)
        return scan

    def _read_labels(self, name: str, kind: str, rows: int) -> Int64[np.ndarray, " points"]:
        path = self.folder / f"{name}_{kind}_label.npy"
        with reading(path, CURE):
            return whole_numbers(_load(path, rows=rows))

    def _align(
        self, name: str, vertices: Float32[np.ndarray, "points 3"]
    ) -> tuple[Float32[np.ndarray, "points 3"], SE3 | None]:
        """Returns the points in the scene frame, and `scene_SE3_raw` if it is known."""
        aligned, matrix, text = (self.folder / (name + end) for end in (ALIGNED_VERTICES, _MATRIX, ".txt"))
        if aligned.is_file():
            with reading(aligned, CURE):
                points = _load(aligned, columns=(6, 9), rows=len(vertices))[:, :3].astype(np.float32)
                return points, _fit(vertices, points)
        if matrix.is_file():
            with reading(matrix, CURE):
                scene_SE3_raw = SE3.from_matrix(_load(matrix, columns=(4,), rows=4).astype(np.float64))
            return scene_SE3_raw.apply(vertices.astype(np.float64)).astype(np.float32), scene_SE3_raw
        if text.is_file():
            with reading(text, CURE):
                return vertices, read_alignment(text)
        return vertices, None

    def _check_boxes(self, scene: Scene) -> None:
        """Raises RecordError if the stored boxes are not where the objects are."""
        aligned, only = (self.folder / (scene.id + end) for end in _BOXES)
        path = aligned if aligned.is_file() else only
        if not path.is_file():
            return
        with reading(path, CURE):
            stored = _load(path, columns=(7, 8)).astype(np.float64)
            if not np.isfinite(stored).all():
                raise ValueError("expected finite numbers, found others")
            shifts = [_shift(box, scene) for box in stored]
        if shifts and np.median(shifts) > MAX_BOX_SHIFT_M:
            raise RecordError(
                f"{path}: expected boxes around the objects of {scene.id}, found a median distance of "
                f"{np.median(shifts):.2f} m (exported in another frame than the vertices); {CURE}"
            )


def find_preprocessed_scans(folder: Path) -> PreprocessedScans | None:
    """Finds scans in a folder, its `scans` or its `scannet_data`; returns None if there are none."""
    for place in (folder, folder / "scans", folder / "scannet_data"):
        scans = PreprocessedScans(place)
        if place.is_dir() and scans.names():
            return scans
    return None


def _load(path: Path, *, columns: tuple[int, ...] = (), rows: int | None = None) -> np.ndarray:
    """Loads an array and checks its shape: one axis, or two if `columns` lists the allowed numbers of columns.

    Mapping the file refuses a header that states a larger array than the file holds, before it is allocated.
    """
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    expected = f"{'any' if rows is None else rows} rows" + (f" of {' or '.join(map(str, columns))}" if columns else "")
    if (
        array.ndim != 1 + bool(columns)
        or (columns and array.shape[1] not in columns)
        or (rows is not None and len(array) != rows)
    ):
        raise ValueError(f"expected {expected}, found shape {array.shape}")
    if array.dtype.kind not in "iufb":
        raise ValueError(f"expected numbers, found {array.dtype}")
    return np.array(array)


def _colors(values: Float32[np.ndarray, "points 3"]) -> UInt8[np.ndarray, "points 3"]:
    """Returns colours as bytes."""
    if not ((values >= 0) & (values <= 255)).all():
        raise ValueError(f"expected colours from 0 to 255, found {values.min():g} to {values.max():g}")
    if ((values > 0) & (values < 1)).any() and values.max() <= 1:
        raise ValueError("expected colours from 0 to 255, found fractions from 0 to 1")
    return values.astype(np.uint8)


def _fit(raw: Float32[np.ndarray, "points 3"], aligned: Float32[np.ndarray, "points 3"]) -> SE3:
    """Returns `aligned_SE3_raw`, the transform from the raw vertices to the aligned ones."""
    source = np.column_stack([raw, np.ones(len(raw))]).astype(np.float64)
    columns, *_ = np.linalg.lstsq(source, aligned.astype(np.float64), rcond=None)
    if np.abs(source @ columns - aligned).max() > 1e-3:
        raise ValueError("expected a rigid transform of the raw vertices, found other points")
    return SE3.from_matrix(np.vstack([columns.T, (0, 0, 0, 1)]))


def _shift(stored: Float[np.ndarray, " numbers"], scene: Scene) -> float:
    """Returns the distance of a box's corners to those of the nearest object of its class; inf if there is none."""
    low, high = stored[:3] - stored[3:6] / 2, stored[:3] + stored[3:6] / 2
    own: Float64[np.ndarray, "boxes 6"] = scene.boxes[scene.box_classes == int(stored[6])].astype(np.float64)
    lows, highs = own[:, :3] - own[:, 3:] / 2, own[:, :3] + own[:, 3:] / 2
    return float(np.abs(np.concatenate([lows - low, highs - high], axis=1)).max(axis=1).min(initial=np.inf))
