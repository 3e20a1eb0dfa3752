from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.clouds.listed import find_modelnet_text, find_shapenet55
from perception_datasets.errors import RecordError


@pytest.fixture
def modelnet(tmp_path: Path) -> Path:
    (tmp_path / "night_stand").mkdir()
    (tmp_path / "modelnet40_shape_names.txt").write_text("bed\nnight_stand\n")
    (tmp_path / "modelnet40_train.txt").write_text("night_stand_0001\nbed_0001\n")
    (tmp_path / "night_stand" / "night_stand_0001.txt").write_text("0.1,0.2,0.3,0,0,1\n")
    return tmp_path


def test_lists_say_splits_and_the_order_of_classes(modelnet: Path) -> None:
    found = find_modelnet_text(modelnet, "train", None)
    assert found is not None
    assert found.classes == ("bed", "night_stand")
    assert found.labels.tolist() == [1, 0]
    np.testing.assert_allclose(found.decode(found[0]).points, [[0.1, 0.2, 0.3]], rtol=1e-6)
    with pytest.raises(RecordError, match=r"bed_0001\.txt: no such file"):
        found.decode(found[1])


def test_a_list_that_is_not_there_or_doubtful_is_refused(modelnet: Path) -> None:
    with pytest.raises(InputError, match=r"expected modelnet40_test\.txt"):
        find_modelnet_text(modelnet, "test", None)
    (modelnet / "modelnet40_test.txt").write_text("bed_0002\nbed_0002\n")
    with pytest.raises(InputError, match="each once, found 2, 1 different"):
        find_modelnet_text(modelnet, "test", None)
    (modelnet / "modelnet40_test.txt").write_text("bed_0002\n")
    with pytest.raises(InputError, match="expected the files of split 'test'"):
        find_modelnet_text(modelnet, "test", None)


def test_shapenets_classes_are_synsets(tmp_path: Path) -> None:
    for folder in ("ShapeNet-55", "shapenet_pc"):
        (tmp_path / folder).mkdir()
    (tmp_path / "ShapeNet-55" / "test.txt").write_text("03001627-abc.npy\n02691156-def-g.npy\n")
    np.save(tmp_path / "shapenet_pc" / "02691156-def-g.npy", np.ones((4, 3), np.float32))
    found = find_shapenet55(tmp_path, "test", None)
    assert found is not None
    assert found.classes == ("02691156", "03001627")
    assert found.labels.tolist() == [1, 0]
    assert found.decode(found[1]).points.shape == (4, 3)
    assert find_shapenet55(tmp_path / "ShapeNet-55", "test", None) is None


def test_modelnet40s_lists_are_complete(real_data: Path) -> None:
    counts = {}
    for split in ("train", "test"):
        found = find_modelnet_text(real_data / "pointcloud", split, None)
        assert found is not None
        counts[split] = len(found)
        assert len(found.classes) == 40
        assert found.decode(found[0]).points.shape == (10_000, 3)
    assert counts == {"train": 9843, "test": 2468}
