"""Reader of ScanNet's own files, with one folder per scan.

<scene>/<scene>_vh_clean_2.ply                      mesh, of which the vertices are read
<scene>/<scene>.txt                                 alignment of its axes
<scene>/<scene>_vh_clean_2.0.010000.segs.json       vertex → segment
<scene>/<scene>.aggregation.json                    object → segments and raw category
scannetv2-labels.combined.tsv                       raw category → NYU40 class; beside the folders or above them
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from perception.errors import InputError
from perception_datasets.errors import bad_file, reading
from perception_datasets.folders import record_folders
from perception_datasets.scannet.alignment import read_alignment
from perception_datasets.scannet.scan import Scan, make_scan, whole_numbers

LABEL_MAP = "scannetv2-labels.combined.tsv"
MESH = "{scene}_vh_clean_2.ply"
CURE = "download the scan again (https://www.scan-net.org), or delete its folder"


@dataclass(frozen=True)
class OfficialScans:
    """Scans in ScanNet's own format.

    Attributes:
        folder: Folder that holds a folder for each scan.
        label_map: File that maps raw categories to classes.
        source: Name of the data set.
    """

    folder: Path
    label_map: Path
    source: str = "scannet"

    def names(self) -> list[str]:
        """Returns the names of the scans in alphabetical order."""
        return [name for name in record_folders(self.folder) if self.path(name).is_file()]

    def path(self, name: str) -> Path:
        """Returns the path of a scan's mesh."""
        return self.folder / name / MESH.format(scene=name)

    def inputs(self, name: str) -> tuple[Path, ...]:
        """Returns the scan's folder and the label map."""
        return self.folder / name, self.label_map

    def read(self, name: str) -> Scan:
        """Reads one scan, with its walls parallel to the axes."""
        path = self.path(name)
        segments, objects = (
            path.with_name(name + end) for end in ("_vh_clean_2.0.010000.segs.json", ".aggregation.json")
        )
        with reading(path.with_name(f"{name}.txt"), CURE):
            scene_SE3_raw = read_alignment(path.with_name(f"{name}.txt"))
        with reading(path, CURE):
            vertices, colors = _read_mesh(path)
        with reading(segments, CURE):
            segment = whole_numbers(np.array(json.loads(segments.read_text())["segIndices"]))
        if len(segment) != len(vertices):
            raise bad_file(segments, f"expected segments of {len(vertices)} vertices, found {len(segment)}", CURE)
        with reading(objects, CURE):
            semantic, instance = _label(segment, json.loads(objects.read_text())["segGroups"], self.label_map)
        points = scene_SE3_raw.apply(vertices.astype(np.float64)).astype(np.float32)
        with reading(path, CURE):
            return make_scan(name, points, colors, semantic, instance, scene_SE3_raw)


def find_official_scans(folder: Path) -> OfficialScans | None:
    """Finds scans in a folder or its `scans` folder; returns None if there are none in ScanNet's format."""
    for place in (folder, folder / "scans"):
        if place.is_dir() and any((place / n / MESH.format(scene=n)).is_file() for n in record_folders(place)):
            if find_spec("trimesh") is None:
                raise InputError(f"{place}: reading its meshes needs trimesh; pip install 'frozen-perception[lidar]'")
            for above in (place, place.parent):
                if (above / LABEL_MAP).is_file():
                    return OfficialScans(place, above / LABEL_MAP)
            raise InputError(f"{place}: expected {LABEL_MAP} in it or above it, found none; copy it there from ScanNet")
    return None


def _read_mesh(path: Path) -> tuple[Float32[np.ndarray, "vertices 3"], UInt8[np.ndarray, "vertices 3"]]:
    """Reads the positions and colours of a mesh's vertices.

    Open3D is not used here: it accepts a truncated file and returns uninitialised memory for the rest.
    """
    from trimesh.exchange.ply import load_ply

    with path.open("rb") as file:
        mesh = load_ply(file)
    # trimesh takes alpha for a colour if another one is missing, and colours of any type.
    properties = mesh["metadata"]["_ply_raw"]["vertex"]["properties"]
    for color in ("red", "green", "blue"):
        if color not in properties or np.dtype(properties[color]) != np.uint8:
            found = np.dtype(properties[color]) if color in properties else "none"
            raise ValueError(f"expected {color} of each vertex as a byte, found {found}")
    return mesh["vertices"].astype(np.float32), mesh["vertex_colors"][:, :3].astype(np.uint8)


def _label(
    segment: Int64[np.ndarray, " vertices"], groups: list[dict], label_map: Path
) -> tuple[Int64[np.ndarray, " vertices"], Int64[np.ndarray, " vertices"]]:
    """Returns NYU40 class and instance of each vertex; if several objects list a segment, the last one gets it.

    Raises:
        ValueError: An object lists a segment that no vertex belongs to, so that the files are of different scans.
    """
    classes = _read_label_map(label_map)
    names, row = np.unique(segment, return_inverse=True)
    semantic, instance = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    for group in groups:
        own = np.isin(names, group["segments"])
        missing = np.setdiff1d(group["segments"], names)
        if len(missing):
            reason = f"object {group['objectId']} ({group['label']}): expected segments of the mesh"
            raise ValueError(f"{reason}, found {len(missing)} that it lacks, such as {missing[0]}")
        semantic[own] = classes[group["label"]]
        instance[own] = int(group["objectId"]) + 1
    return semantic[row], instance[row]


@cache
def _read_label_map(path: Path) -> dict[str, int]:
    with reading(path, "copy it again from ScanNet"), path.open(newline="", encoding="utf-8") as file:
        return {row["raw_category"]: int(row["nyu40id"]) for row in csv.DictReader(file, delimiter="\t")}
