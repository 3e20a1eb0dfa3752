from __future__ import annotations

from pathlib import Path

import pytest

from perception.errors import InputError
from perception_datasets.clouds.open_clouds import open_clouds


def test_what_is_no_cloud_is_answered_with_the_layouts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        open_clouds(tmp_path / "nowhere", "train")
    with pytest.raises(InputError, match=r"found an empty folder; give one of\n  ModelNet as text"):
        open_clouds(tmp_path, "train")
    with pytest.raises(InputError, match="split: expected a name"):
        open_clouds(tmp_path, "../train")


def test_a_limit_is_taken_evenly_from_the_classes(tmp_path: Path) -> None:
    for kind in ("bed", "sofa"):
        for number in range(3):
            path = tmp_path / "train" / kind / f"{number}.xyz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("0 0 0\n")
    assert [record.id for record in open_clouds(tmp_path, "train", limit=2)] == ["bed/0.xyz", "sofa/0.xyz"]


@pytest.mark.parametrize(
    ("folder", "split", "clouds", "classes"),
    [
        ("modelnet10_voxels", "test", 620, 10),
        ("shrec16", "test", 90, 30),
        ("pointcloud", "test", 2468, 40),
        ("kitti_crops", "test", 10, 5),
        ("argoverse2/sensor_logs", "val", 24, 6),
    ],
)
def test_real_data_sets_are_recognised(real_data: Path, folder: str, split: str, clouds: int, classes: int) -> None:
    found = open_clouds(real_data / folder, split)
    assert (len(found), len(found.classes)) == (clouds, classes)
    assert len(found.decode(found[0]).points)
