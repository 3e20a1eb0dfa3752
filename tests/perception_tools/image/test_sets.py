"""Sets of pictures and their rules."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception.errors import InputError
from perception.images.picture_input import PictureInput
from perception_datasets.images import corrupted
from perception_datasets.images.class_lists import read_class_list
from perception_datasets.images.corrupted import CorruptedPictures
from perception_datasets.images.imagenet_c import corruptions
from perception_tools.image.sets import EvaluationSet, Suite, open_split, open_suite, read_class_names

CLASSES = ("n01440764", "n01443537", "n01484850")


@pytest.mark.parametrize(("suite", "flag"), [("imagenet-a", "in_imagenet_a"), ("imagenet-r", "in_imagenet_r")])
def test_real_pictures_are_scored_among_the_classes_that_their_suite_has(
    suite: Suite, flag: str, real_data: Path
) -> None:
    folder = real_data / "tiny_imagenet40"
    if not folder.is_dir():
        pytest.skip(f"no tiny_imagenet40 in {real_data}")
    with (folder / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    known = {row["wnid"] for row in rows if row[flag] == "1"}
    of_model = tuple(row["wnid"] for row in reversed(rows))  # another order than the suite's
    (found,) = open_suite(suite, folder / "test.tar", "test", of_model, None)
    ordered = read_class_list(suite.replace("-", "_"))
    assert found.classes == tuple(name for name in ordered if name in known)
    assert 0 < len(found.classes) < len(rows)
    assert len(found.source) == 37 * len(known)
    assert found.left_out == 37 * (len(rows) - len(known))
    with (folder / "test.csv").open() as file:
        truth = {Path(row["file"]).name: row["wnid"] for row in csv.DictReader(file)}
    for number in range(0, len(found.source), 50):
        record = found.source[number]
        assert record.label is not None
        assert found.classes[record.label] == truth[record.place.name.name]
    (whole,) = open_suite(suite, folder / "test.tar", "test", read_class_list("imagenet1k"), None)
    assert whole.classes == tuple(ordered)
    assert len(whole.classes) == 200


def test_labels_are_numbers_of_the_models_classes_whatever_their_order(pictures: Path) -> None:
    for classes in (CLASSES, CLASSES[::-1]):
        of = open_split(pictures, "val", classes, None)
        assert of.classes == classes
        for number in range(len(of.source)):
            record = of.source[number]
            assert record.label is not None
            assert classes[record.label] == record.place.name.parent.name


def test_sketch_has_all_classes_of_the_model(pictures: Path) -> None:
    (of,) = open_suite("imagenet-sketch", pictures, "val", (*CLASSES[::-1], "n02129165"), None)
    assert of.classes == (*CLASSES[::-1], "n02129165")
    assert (len(of.source), of.left_out) == (12, 0)


def test_a_limit_counts_the_pictures_that_are_scored(pictures: Path) -> None:
    (of,) = open_suite("imagenet-r", pictures, "val", CLASSES, 4)
    assert (len(of.source), of.left_out) == (4, 4)
    (of,) = open_suite("imagenet-r", pictures, "val", CLASSES, 1000)
    assert len(of.source) == 8


def test_pictures_that_no_class_of_the_model_is_in_are_refused(pictures: Path) -> None:
    with pytest.raises(InputError, match="expected pictures of imagenet-a's classes that the model has"):
        open_suite("imagenet-a", pictures, "val", ("cat", "dog"), None)


def test_pictures_without_labels_are_refused(monkeypatch: pytest.MonkeyPatch, pictures: Path) -> None:
    from perception_datasets.images.open_pictures import open_pictures
    from perception_tools.image import sets

    val = open_pictures(pictures, "val")
    unlabelled = replace(val, labels=np.full(len(val), -1))
    monkeypatch.setattr(sets, "open_pictures", lambda *_, **__: unlabelled)
    with pytest.raises(InputError, match="expected labels in split 'val', found 12 pictures without"):
        open_split(pictures, "val", CLASSES, None)


@pytest.fixture
def imagenet_c(tmp_path: Path) -> Callable[..., Path]:
    """Writes ImageNet-C with a picture a class, with or without the folder of the group above each corruption."""

    def write(*, grouped: bool, left_out: str = "") -> Path:
        for one in corruptions():
            for severity in range(1, 6):
                for name in CLASSES if one.name != left_out else ():
                    folder = tmp_path / (one.group if grouped else "") / one.name / str(severity) / name
                    folder.mkdir(parents=True)
                    Image.new("RGB", (8, 8)).save(folder / f"{name}.png")
        return tmp_path

    return write


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize(("extra", "count"), [(False, 15), (True, 19)])
def test_imagenet_c_is_read_from_its_folders_and_not_resized(
    grouped: bool, extra: bool, count: int, imagenet_c: Callable[..., Path]
) -> None:
    sets = list(open_suite("imagenet-c", imagenet_c(grouped=grouped), "val", CLASSES[::-1], None, extra=extra))
    assert len(sets) == 5 * count
    assert {(of.corruption, of.severity) for of in sets} == {
        (one.name, severity) for one in corruptions() if extra or one.group != "extra" for severity in range(1, 6)
    }
    usual = PictureInput(224, 224, 0.875)
    assert all(of.shown(usual) == PictureInput(224, 224, 1.0) for of in sets)
    record = sets[0].source[0]
    assert record.label is not None
    assert sets[0].classes[record.label] == record.class_name


def test_a_corruption_that_is_missing_is_named(imagenet_c: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="fog"):
        list(open_suite("imagenet-c", imagenet_c(grouped=False, left_out="fog"), "val", CLASSES, None))


@pytest.mark.parametrize("side", [None, 224])
def test_clean_pictures_are_corrupted_when_decoded(
    side: int | None, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrupted, "is_installed", lambda: True)
    monkeypatch.setattr(corrupted, "corrupt", lambda pixels, *_: 255 - pixels)
    sets = list(open_suite("imagenet-c", pictures, "val", CLASSES, 3, side=side))
    assert len(sets) == 75
    usual = PictureInput(32, 32, 0.875)
    for of in sets[::20]:
        assert isinstance(of.source, CorruptedPictures)
        assert (of.source.size, len(of.source)) == (side, 3)
        assert of.shown(usual).crop_pct == (1.0 if side else 0.875)
    picture = sets[0].source.decode(sets[0].source[0])
    assert picture.pixels.shape == ((224, 224, 3) if side else (40, 40, 3))


def test_an_ordinary_set_is_shown_as_usual(pictures: Path) -> None:
    of: EvaluationSet = open_split(pictures, "val", CLASSES, None)
    usual = PictureInput(32, 32, 0.9)
    assert of.shown(usual) is usual


def test_names_of_classes_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("\ufeffcat\n\n  dog \nant", encoding="utf-8")
    assert read_class_names(path) == ("cat", "dog", "ant")
    path.write_text("\n")
    with pytest.raises(InputError, match="expected the name of a class in each line, found none"):
        read_class_names(path)
    path.write_text("cat\ndog\ncat")
    with pytest.raises(InputError, match="expected each class once, found more than one cat"):
        read_class_names(path)
    with pytest.raises(InputError, match="no such file; give a text file with a class in each line"):
        read_class_names(tmp_path / "nowhere.txt")
