from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from perception_datasets.errors import RecordError
from perception_datasets.images.flat_labels import GROUND_TRUTH, find_labels

NAMES = ["ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000003.JPEG"]
WNIDS = {1: "n02119789", 2: "n02100735", 3: "n01440764"}


def write_meta(path: Path) -> None:
    """A meta.mat as in ImageNet's devkit: classes, and a group of them with children."""
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    rows = [(number, wnid, "words", 0) for number, wnid in WNIDS.items()] + [(1001, "n00001740", "entity", 3)]
    savemat(path, {"synsets": np.array(rows, dtype=fields)[:, None]})


def test_numbers_of_the_devkit_go_by_its_own_table(tmp_path: Path) -> None:
    (tmp_path / GROUND_TRUTH).write_text("3\n1\n2\n")
    write_meta(tmp_path / "meta.mat")
    assert find_labels(tmp_path, NAMES) == (tmp_path / GROUND_TRUTH, ["n01440764", "n02100735"])


@pytest.mark.parametrize(
    ("file", "line"), [("map_clsloc.txt", "{wnid} {number} kit_fox"), ("meta.txt", "{number}\t{wnid}\tkit fox, Vulpes")]
)
def test_a_text_can_stand_for_the_devkits_table(tmp_path: Path, file: str, line: str) -> None:
    devkit = tmp_path / "ILSVRC2012_devkit_t12" / "data"
    devkit.mkdir(parents=True)
    (tmp_path / "val").mkdir()
    (devkit / GROUND_TRUTH).write_text("3\n1\n2\n")
    (devkit / file).write_text("\n".join(line.format(wnid=w, number=n) for n, w in WNIDS.items()))
    found = find_labels(tmp_path / "val", NAMES)
    assert found is not None
    assert found[1] == ["n01440764", "n02100735"]


def test_numbers_without_a_table_are_refused_because_they_are_no_labels(tmp_path: Path) -> None:
    (tmp_path / GROUND_TRUTH).write_text("3\n1\n2\n")
    with pytest.raises(
        RecordError, match=r"ground_truth\.txt: expected a file .* found none; put the devkit's meta\.mat"
    ):
        find_labels(tmp_path, NAMES)


def test_a_list_of_wordnet_ids_needs_no_table(tmp_path: Path) -> None:
    (tmp_path / "imagenet_2012_validation_synset_labels.txt").write_text("n02119789\nn02100735\nn01440764\n")
    found = find_labels(tmp_path, NAMES)
    assert found is not None
    assert found[1] == ["n02119789", "n01440764"]


def test_pictures_beyond_the_list_are_refused(tmp_path: Path) -> None:
    (tmp_path / GROUND_TRUTH).write_text("n02119789\n")
    with pytest.raises(RecordError, match="expected a line for picture 3, found 1 lines"):
        find_labels(tmp_path, NAMES)


@pytest.mark.parametrize(
    ("file", "text", "names"),
    [
        (
            "LOC_val_solution.csv",
            "ImageId,PredictionString\nILSVRC2012_val_00000003,b 1 2 3 4\n{0},a 1 2 3 4 \n",
            NAMES,
        ),
        (
            "val_annotations.txt",
            "val_1.JPEG\tb\t0\t32\t44\t62\nval_0.JPEG\ta\t52\t55\t57\t59\n",
            ["val_0.JPEG", "val_1.JPEG"],
        ),
        ("labels.csv", "file,wnid,label\ny.jpg,b,1\nx.jpg,a,0\n", ["x.jpg", "y.jpg"]),
        ("metadata.csv", "file_name,label\nx.jpg,a\ny.jpg,b\n", ["x.jpg", "y.jpg"]),
    ],
)
def test_other_tables_are_read_by_file_name(tmp_path: Path, file: str, text: str, names: list[str]) -> None:
    (tmp_path / file).write_text(text.format(NAMES[0].removesuffix(".JPEG")))
    assert find_labels(tmp_path, names) == (tmp_path / file, ["a", "b"])
    lacking = ["ILSVRC2012_val_00000002.JPEG" if file.startswith("LOC") else "z.jpg"]
    with pytest.raises(RecordError, match=rf"{file}: expected a class for {lacking[0]}, found none; copy it again"):
        find_labels(tmp_path, lacking)


def test_a_row_that_ends_early_has_no_class(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,wnid\nx.jpg\n")
    with pytest.raises(RecordError, match=r"labels\.csv: expected a class for x\.jpg, found none"):
        find_labels(tmp_path, ["x.jpg"])


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("name,kind\nx.jpg,a\n")
    with pytest.raises(RecordError, match=r"labels\.csv: expected a column file_name or .*, found name, kind"):
        find_labels(tmp_path, ["x.jpg"])


def test_no_table_is_none(tmp_path: Path) -> None:
    assert find_labels(tmp_path, ["x.jpg"]) is None
