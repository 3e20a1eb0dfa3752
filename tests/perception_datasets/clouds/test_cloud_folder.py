from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.clouds.cloud_folder import find_folder
from perception_datasets.errors import RecordError

TEXT = "0 0 0\n1 1 1\n"
MESH = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"


def write(folder: Path, *names: str, text: str = TEXT) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("layout", ["{split}/{kind}/{name}", "{kind}/{split}/{name}"])
def test_classes_are_folders_and_splits_stay_apart(layout: str, tmp_path: Path) -> None:
    for split, kind, name in [("train", "bed", "1.txt"), ("train", "sofa", "1.txt"), ("test", "bed", "2.txt")]:
        write(tmp_path, layout.format(split=split, kind=kind, name=name))
    train, test = find_folder(tmp_path, "train", None), find_folder(tmp_path, "test", ("bed", "sofa"))
    assert train is not None
    assert test is not None
    assert (train.classes, train.labels.tolist()) == (("bed", "sofa"), [0, 1])
    assert [record.id for record in test] == ["bed/2.txt"]
    assert test.decode(test[0]).points.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert not test.source.is_drawn
    with pytest.raises(InputError, match="expected clouds of split 'extra'"):
        find_folder(tmp_path, "extra", None)


def test_a_tar_is_read_as_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "raw", "train/bed/1.off", "train/sofa/1.off", text=MESH)
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data" / "shapes.tar", "w") as archive:
        archive.add(tmp_path / "raw" / "train", "train")
    found = find_folder(tmp_path / "data", "train", None)
    assert found is not None
    assert found.source.is_drawn
    assert np.ptp(found.decode(found[1]).points[:, :2]) > 0.9
    assert not np.array_equal(found.decode(found[1], 0).points, found.decode(found[1], 1).points)


def test_objects_cut_out_of_sweeps_are_of_the_class_in_their_name(tmp_path: Path) -> None:
    row = np.zeros((2, 4), np.float32).tobytes()
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "000001_Car_1.bin").write_bytes(row)
        (tmp_path / split / "000001_Person_sitting_0.bin").write_bytes(row)
    for place, split in ((tmp_path, "train"), (tmp_path / "test", "test")):
        found = find_folder(place, split, None)
        assert found is not None
        assert found.classes == ("Car", "Person_sitting")
        assert len(found) == 2
    with pytest.raises(InputError, match="split 'train'"):
        find_folder(tmp_path / "test", "train", None)


def test_a_damaged_cloud_is_named_when_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, "train/bed/1.txt", "train/sofa/1.txt")
    (tmp_path / "train" / "bed" / "1.txt").write_text("1 2 x\n")
    found = find_folder(tmp_path, "train", None)
    assert found is not None
    with pytest.raises(RecordError, match=r"bed/1\.txt"):
        found.decode(found[0])
    assert len(found.decode(found[1]).points) == 2


def test_a_folder_without_clouds_is_another_data_set(tmp_path: Path) -> None:
    assert find_folder(write(tmp_path, "README.txt", "train/notes.txt"), "train", None) is None


def test_real_meshes_of_shrec16_are_split_as_they_were(real_data: Path) -> None:
    sizes = {split: find_folder(real_data / "shrec16", split, None) for split in ("train", "test")}
    assert {split: found and (len(found), len(found.classes)) for split, found in sizes.items()} == {
        "train": (480, 30),
        "test": (90, 30),
    }
