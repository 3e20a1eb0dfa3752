from __future__ import annotations

import csv
import json
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from perception_datasets.images.class_lists import class_indices, class_mask, read_class_list
from perception_datasets.images.open_pictures import open_pictures

SIZES = {
    "imagenet1k": 1000,
    "imagenet_a": 200,
    "imagenet_r": 200,
    "imagenet_s50": 50,
    "imagenet_s300": 300,
    "imagenet_s919": 919,
}


def timms(file: str) -> str:
    """A list of timm's, without importing it, which takes seconds."""
    spec = find_spec("timm")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "data" / "_info" / file).read_text()


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_lists_have_their_sizes_and_the_order_of_labels(name: str, size: int) -> None:
    classes = read_class_list(name)  # type: ignore[arg-type]
    assert len(set(classes)) == size
    assert list(classes) == sorted(classes)
    assert set(classes) <= set(read_class_list("imagenet1k"))


@pytest.mark.parametrize("name", ["imagenet_a", "imagenet_r"])
def test_lists_and_indices_are_timms(name: str) -> None:
    assert read_class_list(name) == tuple(timms(f"{name}_synsets.txt").split())  # type: ignore[arg-type]
    expected = list(map(int, timms(f"{name}_indices.txt").split()))
    assert class_indices(name).tolist() == expected  # type: ignore[arg-type]


def test_imagenets_order_is_timms() -> None:
    assert read_class_list("imagenet1k") == tuple(timms("imagenet_synsets.txt").split())


def test_a_and_r_share_86_classes_and_s_is_nested() -> None:
    a, r = class_mask("imagenet_a"), class_mask("imagenet_r")
    assert (a.sum(), r.sum(), (a & r).sum()) == (200, 200, 86)
    s50, s300, s919 = (set(read_class_list(f"imagenet_s{n}")) for n in (50, 300, 919))  # type: ignore[arg-type]
    assert s50 < s300 < s919


def test_logits_of_a_subset_answer_with_that_sets_labels() -> None:
    """The best of 200 logits is the label of a folder of the set, whatever the other 800 say."""
    labels = np.arange(200)
    logits = np.full((200, 1000), 9.0)
    logits[:, class_indices("imagenet_r")] = 0
    logits[labels, class_indices("imagenet_r")] = 1
    np.testing.assert_array_equal(logits[:, class_indices("imagenet_r")].argmax(-1), labels)


def test_real_labels_of_tiny_imagenet_fall_into_the_sets_that_its_table_says(real_data: Path) -> None:
    folder = real_data / "tiny_imagenet40"
    with (folder / "classes.csv").open() as file:
        rows = {row["wnid"]: row for row in csv.DictReader(file)}
    with (folder / "test.csv").open() as file:
        index_of = {row["file"]: int(row["imagenet1k_index"]) for row in csv.DictReader(file)}
    pictures = open_pictures(folder, "test", classes=read_class_list("imagenet1k"))
    own = open_pictures(folder, "test")
    assert len(pictures) == 1480
    flags = {
        "imagenet_a": "in_imagenet_a",
        "imagenet_r": "in_imagenet_r",
        "imagenet_s50": "in_imagenet_s50",
        "imagenet_s300": "in_imagenet_s300",
    }
    masks = {name: class_mask(name) for name in flags}  # type: ignore[arg-type]
    indices = {name: class_indices(name) for name in flags}  # type: ignore[arg-type]
    counted = dict.fromkeys(flags, 0)
    for record, tiny in zip(pictures, own, strict=True):
        assert record.label == index_of[f"test/{record.id}"]
        row = rows[str(record.class_name)]
        assert tiny.label == int(row["label"])
        for name, flag in flags.items():
            assert masks[name][record.label] == (row[flag] == "1")
            if row[flag] == "1":
                counted[name] += 1
                position = read_class_list(name).index(row["wnid"])  # type: ignore[arg-type]
                assert indices[name][position] == record.label
    assert counted["imagenet_a"] > 1400
    assert counted["imagenet_r"] > 1400


def test_labels_of_the_pictures_that_are_at_hand_agree(real_data: Path) -> None:
    with (real_data / "images" / "labels.csv").open() as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    pictures = open_pictures(real_data / "images", "val", classes=read_class_list("imagenet1k"))
    assert len(pictures) == 21
    for record in pictures:
        row = rows[record.id]
        assert record.label == int(row["imagenet1k_index"])
        for name, column in (("imagenet_a", "A_folder_order_index"), ("imagenet_r", "R_folder_order_index")):
            places = {label: place for place, label in enumerate(class_indices(name).tolist())}  # type: ignore[arg-type]
            assert places.get(record.label, -1) == int(row[column])


def test_lists_are_those_of_the_field(real_data: Path) -> None:
    for name in SIZES:
        text = (real_data / "lists" / f"{name}_wnids.txt").read_text()
        assert read_class_list(name) == tuple(text.split())  # type: ignore[arg-type]
    stated = json.loads((real_data / "lists" / "imagenet_c.json").read_text())["corruptions"]
    ours = json.loads(files("perception_datasets.images").joinpath("lists", "imagenet_c.json").read_text())[
        "corruptions"
    ]
    assert {c["name"]: c["alexnet_error"] for c in stated} == {
        c["name"]: c["alexnet_error"] for c in ours if c["alexnet_error"] is not None
    }
