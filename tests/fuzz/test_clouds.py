"""Damaged point clouds: files of points, meshes, HDF5, voxels, lists and sweeps."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import laspy
import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import trimesh

from perception.errors import InputError
from perception_datasets.clouds.open_clouds import open_clouds
from perception_datasets.errors import RecordError

Fuzz = Callable[..., None]
POINTS = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)


def _read(folder: Path, split: str = "train") -> None:
    """Reads every cloud; those that cannot be read are named."""
    clouds = open_clouds(folder, split)
    for record in clouds:
        try:
            points = clouds.decode(record).points
        except RecordError:
            continue
        assert points.shape[1] == 3


def _read_hdf5(folder: Path) -> None:
    _read(folder, "test")


def _read_others(folder: Path) -> None:
    for name in ("voxels", "listed", "logs"):
        with suppress(InputError):
            _read(folder / name)


def test_damaged_files_of_points_and_meshes_are_read_or_named(fuzz: Fuzz, tmp_path: Path) -> None:
    place = tmp_path / "seeds" / "train" / "bed"
    place.mkdir(parents=True)
    np.savetxt(place / "a.txt", POINTS, "%.4f", ",")
    np.save(place / "b.npy", POINTS)
    (place / "c.bin").write_bytes(np.column_stack([POINTS, POINTS[:, 0]]).tobytes())
    mesh = trimesh.creation.box()
    for name in ("d.off", "e.obj", "f.ply"):
        mesh.export(place / name)
    header = "VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 12\nDATA binary\n"
    (place / "g.pcd").write_bytes(header.encode() + POINTS.tobytes())
    las = laspy.LasData(laspy.LasHeader(point_format=0, version="1.2"))
    las.x, las.y, las.z = POINTS.astype(np.float64).T
    las.write(str(place / "h.las"))
    shutil.copytree(place, place.with_name("sofa"))
    fuzz(_read, tmp_path / "seeds")


def test_damaged_hdf5_is_read_or_named(fuzz: Fuzz, tmp_path: Path) -> None:
    place = tmp_path / "seeds" / "main_split"
    place.mkdir(parents=True)
    with h5py.File(place / "test_objectdataset.h5", "w") as file:
        file["data"] = np.stack([POINTS] * 3)
        file.create_dataset("label", data=np.arange(3, dtype=np.uint8), compression="gzip")
    fuzz(_read_hdf5, tmp_path / "seeds")


def test_damaged_voxels_lists_and_sweeps_are_read_or_named(fuzz: Fuzz, tmp_path: Path, sensor_log: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 256, (3, 3375), np.uint8)
    seeds = tmp_path / "seeds"
    (seeds / "voxels").mkdir(parents=True)
    classes = np.array(["bed", "sofa"])
    labels = np.array([0, 1, 0], np.uint8)
    np.savez_compressed(
        seeds / "voxels" / "modelnet10_voxels.npz", train_bits=bits, train_label=labels, classes=classes
    )
    place = seeds / "listed" / "bed"
    place.mkdir(parents=True)
    np.savetxt(place / "bed_0001.txt", POINTS, "%.4f", ",")
    (place.parent / "modelnet40_shape_names.txt").write_text("bed\nsofa\n")
    (place.parent / "modelnet40_train.txt").write_text("bed_0001\n")
    log = seeds / "logs" / "train" / "log0"
    shutil.copytree(sensor_log, log, ignore=shutil.ignore_patterns("map", "city*"))
    table = feather.read_table(log / "annotations.feather").slice(0, 20)
    counts = pa.array(np.full(len(table), 30))
    feather.write_feather(table.append_column("num_interior_pts", counts), log / "annotations.feather")
    (log / "sensors" / "lidar").mkdir(parents=True)
    sweep = pa.table(dict(zip("xyz", POINTS.astype(np.float16).T, strict=True)))
    feather.write_feather(sweep, log / "sensors" / "lidar" / "1000000000.feather")
    fuzz(_read_others, seeds, 40)
