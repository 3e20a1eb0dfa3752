from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.clouds.open_clouds import open_clouds
from perception_datasets.rooms.furniture import KINDS
from perception_datasets.rooms.objects import make_object, make_objects


def test_the_same_seed_and_number_give_the_same_cloud() -> None:
    assert np.array_equal(make_object(3, 17), make_object(3, 17))
    assert make_object(3, 17).shape != make_object(4, 17).shape


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_a_cloud_has_the_size_of_its_kind(number: int) -> None:
    kind, points = KINDS[number], make_object(0, number)
    assert 300 < len(points) < 3000
    assert points.dtype == np.float32
    across = np.linalg.norm([kind.width_m[1], kind.depth_m[1] + 0.1])
    assert np.ptp(points[:, :2], axis=0).max() < across + 0.1
    assert np.ptp(points[:, 2]) < kind.height_m[1] + 0.7


def test_splits_and_classes_are_folders_that_readers_know(tmp_path: Path) -> None:
    names = list(make_objects(tmp_path, count=10 * len(KINDS), seed=1))
    assert len(set(names)) == len(names)
    train, test = open_clouds(tmp_path, "train"), open_clouds(tmp_path, "test")
    assert train.classes == test.classes == tuple(sorted(kind.name for kind in KINDS))
    assert (len(train), len(test)) == (8 * len(KINDS), len(KINDS))


def test_an_interrupted_run_goes_on_and_another_seed_is_refused(tmp_path: Path) -> None:
    next(iter(make_objects(tmp_path, count=3, seed=1)))
    first = tmp_path / "train" / KINDS[0].name / "00000.npy"
    before = first.stat().st_mtime_ns
    assert len(list(make_objects(tmp_path, count=3, seed=1))) == 3
    assert first.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="with seed 2"):
        list(make_objects(tmp_path, count=3, seed=2))
