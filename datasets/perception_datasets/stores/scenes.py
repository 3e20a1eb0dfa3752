"""Scanned rooms in a prepared store (`perception_datasets.stores.store`), in one schema for all data sets."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perception.errors import InputError
from perception.geometry import SE3
from perception.scenes.scene import Scene
from perception_datasets.scannet.folder import Scans
from perception_datasets.scannet.scan import Scan
from perception_datasets.stores import store
from perception_datasets.stores.schema import Record, Schema
from perception_datasets.stores.writer import Prepared, write_split

SCHEMA = Schema(
    (
        ("scene_SE3_centred", "<f8", 2),
        ("points", "<f4", 2),
        ("boxes", "<f4", 2),
        ("instance", "<i4", 1),
        ("box_instances", "<i4", 1),
        ("colors", "|u1", 2),
        ("semantic", "|u1", 1),
        ("box_classes", "|u1", 1),
        ("id", "|u1", 1),
    )
)
"""`scene_SE3_centred` is a 4 × 4 matrix, without rows if unknown; `id` is UTF-8."""

KIND = "scene"
PART_SCENES = 16
"""A ScanNet scan has 150,000 points on average: about 60 MB per part, which a process holds while it writes."""

_ALL = "scenes"
"""The only split. SQA3D splits the scenes differently from ScanNet, so the questions decide what is for training."""


def to_record(scan: Scan) -> dict[str, np.ndarray]:
    """Converts a scan to the arrays of `SCHEMA`."""
    scene = scan.scene
    return {
        "id": np.frombuffer(scene.id.encode(), np.uint8),
        "points": scene.points,
        "colors": scene.colors,
        "semantic": scene.semantic.astype(np.uint8),
        "instance": scene.instance.astype(np.int32),
        "boxes": scene.boxes,
        "box_classes": scene.box_classes.astype(np.uint8),
        "box_instances": scene.box_instances.astype(np.int32),
        "scene_SE3_centred": np.zeros((0, 4)) if scan.scene_SE3_centred is None else scan.scene_SE3_centred.matrix,
    }


def from_record(record: Record) -> Scan:
    """Returns the scan of a record; the inverse of `to_record`."""
    scene = Scene(
        id=record["id"].tobytes().decode(),
        points=record["points"],
        colors=record["colors"],
        semantic=record["semantic"].astype(np.int64),
        instance=record["instance"].astype(np.int64),
        boxes=record["boxes"],
        box_classes=record["box_classes"].astype(np.int64),
        box_instances=record["box_instances"].astype(np.int64),
    )
    matrix = record["scene_SE3_centred"]
    return Scan(scene, SE3.from_matrix(matrix) if len(matrix) else None)


class StoredScans(store.StoredSplit):
    """Scans in a store; `source` is `scannet`, or `synthetic` for generated rooms."""

    schema = SCHEMA

    def read(self, name: str) -> Scan:
        """Reads one scan."""
        return self.read_as(name, from_record)

    def without_objects(self) -> list[str]:
        """Returns the names of the scans in which no object is labelled."""
        return self.without("boxes")


def open_scene_store(folder: Path) -> StoredScans:
    """Opens the scans that `perception prepare scannet` wrote."""
    info = store.read_info(folder)
    if info is None or (info.kind, info.schema) != (KIND, SCHEMA):
        found = "none" if info is None else f"one of {info.kind} records or an old schema"
        raise InputError(
            f"{folder}: expected a store of scenes, found {found}; make it with `perception prepare scannet`"
        )
    return StoredScans(folder, _ALL, info.source)


def prepare_scans(
    scans: Scans, folder: Path, *, processes: int | None = None, replace: bool = False
) -> Generator[Prepared, None, None]:
    """Writes scans to a store; yields what `writer.write_split` yields."""
    info = store.StoreInfo(KIND, scans.source, SCHEMA)
    names, raw = scans.names(), RawScans(scans)
    return write_split(folder, info, _ALL, names, raw, part_records=PART_SCENES, processes=processes, replace=replace)


@dataclass(frozen=True)
class RawScans:
    """Scans as records to write."""

    scans: Scans

    def inputs(self, name: str) -> Sequence[Path]:
        """Returns the files that a scan is read from."""
        return self.scans.inputs(name)

    def read(self, name: str) -> Record:
        """Reads one scan."""
        return to_record(self.scans.read(name))
