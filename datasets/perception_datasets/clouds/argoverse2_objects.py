"""Objects of Argoverse 2's LiDAR sweeps, cut out by their annotated boxes: a small real set, apart by whole logs.

A split is a folder of logs as in the sensor data set. Each box of a sweep with at least `MIN_POINTS` points in it is a
record; its points are in the frame of the box, in metres: x forward, z up, the centre at the origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Float64

from perception.clouds.cropping import points_in_box
from perception.errors import InputError
from perception_datasets.argoverse.argoverse2_sensor import BOX_COLUMNS, CURE, Poses
from perception_datasets.argoverse.remembered import remembered
from perception_datasets.argoverse.table_files import METRES, Column, read_feather
from perception_datasets.clouds.records import Clouds
from perception_datasets.errors import bad_file, reading
from perception_datasets.folders import record_folders
from perception_datasets.images.layout import check_label, names_of_split
from perception_datasets.images.records import PackedTexts, number_classes

MIN_POINTS = 20
"""Boxes with fewer points show too little to be told by shape alone."""
ANNOTATIONS = "annotations.feather"
SWEEPS = Path("sensors") / "lidar"
_SIZE = ("length_m", "width_m", "height_m")
_COLUMNS = {**BOX_COLUMNS, "num_interior_pts": Column(pa.int64(), 0.0, 1e7)}


@dataclass(frozen=True)
class BoxSource:
    """Boxes in sweeps.

    Attributes:
        logs: Folders of the logs.
        log: Log of each record, as a number of `logs`.
        stamp_ns: Time of its sweep.
        centre: Centre of its box in the ego frame, metres.
        rotation: From the frame of the box to the ego frame.
        size: Length, width and height, metres.
    """

    logs: tuple[Path, ...]
    log: np.ndarray
    stamp_ns: np.ndarray
    centre: Float64[np.ndarray, "boxes 3"]
    rotation: Float64[np.ndarray, "boxes 3 3"]
    size: Float64[np.ndarray, "boxes 3"]
    is_drawn: bool = False

    def read(self, row: int, rng: np.random.Generator) -> Float32[np.ndarray, "points 3"]:  # noqa: ARG002
        """Reads the points in a box; the last few sweeps stay in memory, since each holds many boxes."""
        sweep = read_sweep(self.logs[self.log[row]] / SWEEPS / f"{self.stamp_ns[row]}.feather")
        return points_in_box(sweep, self.centre[row], self.rotation[row], self.size[row]).astype(np.float32)


@remembered(lambda path: [path], results=4)
def read_sweep(path: Path) -> Float32[np.ndarray, "points 3"]:
    """Reads the points of a sweep in the ego frame, metres.

    Raises:
        RecordError: The file is missing or damaged.
    """
    with reading(path, CURE):
        table = read_feather(path, dict.fromkeys("xyz", METRES), CURE)
        return np.column_stack([table[name].to_numpy() for name in "xyz"]).astype(np.float32)


def find_argoverse2_objects(path: Path, split: str, classes: Sequence[str] | None) -> Clouds | None:
    """Returns the objects in the sweeps of a split's logs; None if no log has sweeps.

    Raises:
        InputError: No box has enough points, or a log is damaged.
    """
    if not path.is_dir():
        return None
    folder = next((path / name for name in names_of_split(split) if (path / name).is_dir()), path)
    names = [name for name in record_folders(folder) if (folder / name / ANNOTATIONS).is_file()]
    logs = tuple(folder / name for name in names if any((folder / name / SWEEPS).glob("*.feather")))
    if not logs:
        return None
    if folder == path:
        check_label(path, split)
    tables = [_boxes(log) for log in logs]
    log = np.repeat(np.arange(len(logs)), [table.num_rows for table in tables])
    boxes = pa.concat_tables(tables)
    if not boxes.num_rows:
        raise InputError(f"{folder}: expected boxes with at least {MIN_POINTS} points, found none; give other logs")
    poses = Poses.of(folder, boxes)
    kinds = boxes["category"].cast(pa.string()).to_pylist()
    ordered, labels = number_classes(kinds, classes, folder)
    stamps, size = boxes["timestamp_ns"].to_numpy(), np.column_stack([boxes[name].to_numpy() for name in _SIZE])
    ids = [f"{logs[n].name}/{t}/{u}" for n, t, u in zip(log, stamps, boxes["track_uuid"].to_pylist(), strict=True)]
    source = BoxSource(logs, log, stamps, poses.translation, poses.rotation, size)
    layout = f"objects of {len(logs)} Argoverse 2 logs"
    return Clouds(folder, split, layout, ordered, PackedTexts(ids), labels, np.arange(len(ids)), source)


def _boxes(log: Path) -> pa.Table:
    """Returns the boxes of a log that have a sweep and enough points."""
    path = log / ANNOTATIONS
    with reading(path, CURE):
        table = read_feather(path, _COLUMNS, CURE)
        sweeps = sorted(int(file.stem) for file in (log / SWEEPS).glob("*.feather") if file.stem.isdecimal())
        there = np.isin(table["timestamp_ns"].to_numpy(), sweeps)
        if not there.any():
            raise bad_file(path, f"expected boxes at the time of a sweep ({sweeps[:1]}), found none", CURE)
        kept = table.filter(pa.array(there & (table["num_interior_pts"].to_numpy() >= MIN_POINTS)))
        texts = {name: kept[name].cast(pa.string()) for name in ("track_uuid", "category")}
        return pa.table({name: texts.get(name, kept[name]) for name in kept.column_names})
