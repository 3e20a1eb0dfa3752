from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.clouds.hdf5 import SCANOBJECTNN_CLASSES, find_hdf5
from perception_datasets.errors import RecordError


def write(path: Path, clouds: int, seed: int = 0, **changed: object) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(clouds, 6, 3)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, value in (
            {"data": data, "label": rng.integers(0, 15, (clouds, 1)).astype(np.uint8)} | changed
        ).items():
            file[name] = value
    return data


@pytest.fixture
def scanobjectnn(tmp_path: Path) -> Path:
    for folder in ("main_split", "main_split_nobg"):
        for number, name in enumerate(("training_objectdataset", "test_objectdataset")):
            write(tmp_path / folder / f"{name}.h5", 4 - number, seed=len(folder))
            write(tmp_path / folder / f"{name}_augmentedrot_scale75.h5", 5 - number, seed=9)
    return tmp_path


@pytest.mark.parametrize(("variant", "train", "test"), [("bg", 4, 3), ("only", 4, 3), ("t50", 5, 4)])
def test_scanobjectnns_variants_are_told_apart(variant, train: int, test: int, scanobjectnn: Path) -> None:
    found = {split: find_hdf5(scanobjectnn, split, None, variant) for split in ("train", "test")}
    assert {split: clouds and len(clouds) for split, clouds in found.items()} == {"train": train, "test": test}
    clouds = found["test"]
    assert clouds is not None
    assert clouds.classes == SCANOBJECTNN_CLASSES
    file = clouds.source.files[0]  # pyright: ignore
    assert ("nobg" in str(file)) == (variant == "only")
    assert ("scale75" in str(file)) == (variant == "t50")
    with h5py.File(file) as opened:
        assert np.array_equal(clouds.decode(clouds[2]).points, opened["data"][2])  # pyright: ignore


def test_a_variant_must_be_named_where_there_are_several(scanobjectnn: Path) -> None:
    with pytest.raises(InputError, match="expected one variant of ScanObjectNN, found bg, only, t50"):
        find_hdf5(scanobjectnn, "train", None, None)
    alone = find_hdf5(scanobjectnn / "main_split", "train", None, "bg")
    assert alone is not None
    with pytest.raises(InputError, match="found no 'val'"):
        find_hdf5(scanobjectnn, "val", None, "bg")


def test_modelnets_files_follow_each_other(tmp_path: Path) -> None:
    first, second = (write(tmp_path / f"ply_data_train{i}.h5", 3, i) for i in (0, 1))
    (tmp_path / "train_files.txt").write_text(
        "data/modelnet40/ply_data_train0.h5\ndata/modelnet40/ply_data_train1.h5\n"
    )
    (tmp_path / "shape_names.txt").write_text("\n".join(f"kind{i}" for i in range(15)))
    found = find_hdf5(tmp_path, "train", None, None)
    assert found is not None
    assert len(found) == 6
    assert found.classes[3] == "kind3"
    assert np.array_equal(found.decode(found[2]).points, first[2])
    assert np.array_equal(found.decode(found[3]).points, second[0])
    assert find_hdf5(tmp_path, "test", None, None) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": np.zeros(2, np.uint8)}, "as the label of each cloud"),
        ({"label": np.zeros(3)}, "expected a whole number"),
        ({"label": np.full(3, 99)}, "expected labels from 0 to 14"),
        ({"data": np.zeros((3, 6), np.float32)}, "of shape"),
        ({"data": np.zeros((3, 6, 2), np.float32)}, "of shape"),
        ({"data": np.zeros((3, 6, 3), np.int32)}, "floating-point"),
    ],
)
def test_a_bad_file_is_named(changed: dict, message: str, tmp_path: Path) -> None:
    write(tmp_path / "main_split" / "test_objectdataset.h5", 3, **changed)
    with pytest.raises(InputError, match=message):
        find_hdf5(tmp_path, "test", None, None)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "main_split" / "test_objectdataset.h5"
    write(path, 3)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(RecordError, match=r"test_objectdataset\.h5"):
        find_hdf5(tmp_path, "test", None, None)
