from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pytest

from perception.errors import InputError
from perception_datasets.clouds import argoverse2_objects
from perception_datasets.clouds.argoverse2_objects import find_argoverse2_objects

LOG = "argoverse2/sensor_logs/adcf7d18-0510-35b0-a2fa-b4cea13a6d76"


@pytest.fixture
def log(sensor_log: Path, tmp_path: Path) -> Path:
    """The log with one sweep: thirty points in the first car, three in the bus, and others on the ground."""
    folder = tmp_path / "train" / "log0"
    shutil.copytree(sensor_log, folder)
    table = feather.read_table(folder / "annotations.feather")
    counts = pa.array([30 if kind == "REGULAR_VEHICLE" else 3 for kind in table["category"].to_pylist()])
    feather.write_feather(table.append_column("num_interior_pts", counts), folder / "annotations.feather")
    rng = np.random.default_rng(0)
    car = np.array([12, 0, 0]) + rng.uniform(-0.5, 0.5, (30, 3)) * [4.5, 1.9, 1.6]
    points = np.concatenate([car, [[-15, 4, 0]] * 3, rng.uniform(30, 60, (50, 3))]).astype(np.float16)
    (folder / "sensors" / "lidar").mkdir(parents=True)
    feather.write_feather(
        pa.table(dict(zip("xyz", points.T, strict=True))), folder / "sensors/lidar/1000000000.feather"
    )
    return folder


def test_objects_are_cut_out_in_the_frame_of_their_box(log: Path) -> None:
    found = find_argoverse2_objects(log.parent.parent, "train", None)
    assert found is not None
    assert found.classes == ("REGULAR_VEHICLE",)  # the others have too few points
    (record,) = found
    points = found.decode(record).points
    assert len(points) >= 28  # half precision moves points at the sides out
    assert (np.abs(points) <= np.array([4.5, 1.9, 1.6]) / 2 + 1e-6).all()


def test_logs_without_sweeps_are_another_data_set(sensor_log: Path) -> None:
    assert find_argoverse2_objects(sensor_log.parent, "train", None) is None


def test_sweeps_without_boxes_are_refused(log: Path) -> None:
    sweep = log / "sensors" / "lidar" / "1000000000.feather"
    sweep.rename(sweep.with_name("5.feather"))
    with pytest.raises(InputError, match="expected boxes at the time of a sweep"):
        find_argoverse2_objects(log.parent, "train", None)


def test_boxes_hold_as_many_points_as_the_annotations_say(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(argoverse2_objects, "MIN_POINTS", 0)
    folder = real_data / "argoverse2" / "sensor_logs"
    found = find_argoverse2_objects(folder, "train", None)
    assert found is not None
    assert len(found) == 47
    table = feather.read_table(real_data / LOG / "annotations.feather")
    expected = {
        (f"{stamp}/{track}"): count
        for stamp, track, count in zip(
            table["timestamp_ns"].to_pylist(),
            table["track_uuid"].to_pylist(),
            table["num_interior_pts"].to_pylist(),
            strict=True,
        )
    }
    for record in found:
        assert len(found.decode(record).points) == expected[record.id.partition("/")[2]]


def test_the_real_sweep_has_24_objects_with_enough_points(real_data: Path) -> None:
    found = find_argoverse2_objects(real_data / "argoverse2" / "sensor_logs", "train", None)
    assert found is not None
    assert dict(zip(found.classes, np.bincount(found.labels).tolist(), strict=True)) == {
        "BOX_TRUCK": 1,
        "BUS": 2,
        "LARGE_VEHICLE": 1,
        "PEDESTRIAN": 4,
        "REGULAR_VEHICLE": 15,
        "TRUCK": 1,
    }
