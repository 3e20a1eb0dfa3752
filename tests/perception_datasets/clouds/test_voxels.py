from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.clouds.voxels import FILE, SIDE, find_voxels, surface


def write(folder: Path, **changed: np.ndarray) -> Path:
    grids = np.zeros((3, SIDE, SIDE, SIDE), np.uint8)
    grids[0, 5:9, 5:9, 5:9] = grids[1, 0:2, 0, 0] = 1
    bits = np.packbits(grids.reshape(3, -1), axis=1)
    arrays = {"train_bits": bits, "train_label": np.array([1, 0, 0], np.uint8), "classes": np.array(["bed", "sofa"])}
    np.savez(folder / FILE, **(arrays | changed))  # pyright: ignore[reportArgumentType]
    return folder


def test_points_lie_in_the_voxels_at_the_surface(tmp_path: Path) -> None:
    found = find_voxels(write(tmp_path), "train", None)
    assert found is not None
    points = found.decode(found[0]).points
    assert points.shape == (4**3 - 2**3, 3)
    voxels = np.floor((points + 0.5) * SIDE).astype(int)
    assert len(np.unique(voxels, axis=0)) == len(voxels)
    assert ((voxels == 5) | (voxels == 8)).any(axis=1).all()
    assert not np.array_equal(points, found.decode(found[0], 1).points)
    assert (found.classes, found.labels.tolist(), found[0].id) == (("bed", "sofa"), [1, 0, 0], "sofa/0")


def test_voxels_at_the_edge_of_the_grid_are_at_the_surface() -> None:
    full = np.ones((4, 4, 4), dtype=bool)
    assert surface(full).sum() == 4**3 - 2**3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_label": np.array([0, 1])}, "expected 27000 bits for each shape"),
        ({"train_label": np.array([0, 1, 7])}, "expected labels below 2, found 0 to 7"),
        ({"train_bits": np.zeros((3, 3375))}, "expected 27000 bits"),
    ],
)
def test_a_bad_file_is_named(changed: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        find_voxels(write(tmp_path, **changed), "train", None)


def test_other_splits_other_classes_and_empty_shapes_are_named(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(InputError, match="expected split 'val', found train"):
        find_voxels(tmp_path, "val", None)
    with pytest.raises(InputError, match="expected the classes a, found bed, sofa"):
        find_voxels(tmp_path, "train", ("a",))
    found = find_voxels(tmp_path, "train", None)
    assert found is not None
    with pytest.raises(InputError, match="shape 2: expected voxels"):
        found.decode(found[2])
    assert find_voxels(tmp_path / "elsewhere", "train", None) is None


def test_modelnet10_has_as_many_surface_voxels_as_was_measured(real_data: Path) -> None:
    for split, size, median in (("train", 3964, 992), ("test", 620, 1095)):
        found = find_voxels(real_data / "modelnet10_voxels", split, None)
        assert found is not None
        assert len(found) == size
        some = [len(found.decode(found[i]).points) for i in range(0, size, 20)]
        assert abs(np.median(some) - median) < 60
        assert min(some) >= 150
