from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_datasets.video.annotations import find_annotations, without_brackets


def write_ssv2(folder: Path, prefix: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    records = [
        {"id": "7", "label": "moving a cup up", "template": "Moving [something] up", "placeholders": ["a cup"]},
        {"id": 9, "label": "tearing it", "template": "Tearing [something] into [two pieces]", "placeholders": []},
    ]
    (folder / f"{prefix}train.json").write_text(json.dumps(records))
    labels = {"Tearing something into two pieces": "0", "Moving something up": "1"}
    (folder / f"{prefix}labels.json").write_text(json.dumps(labels))
    return folder


@pytest.mark.parametrize(("place", "prefix"), [("", ""), ("labels", ""), ("labels", "something-something-v2-")])
def test_a_class_is_the_template_without_brackets(place: str, prefix: str, tmp_path: Path) -> None:
    write_ssv2(tmp_path / place, prefix)
    found = find_annotations(tmp_path, "train")
    assert found is not None
    assert found.names == ("7", "9")
    assert found.classes_of == ("Moving something up", "Tearing something into two pieces")
    assert found.classes == ("Tearing something into two pieces", "Moving something up")
    assert without_brackets("Putting [a] and [b]") == "Putting a and b"


def test_a_test_split_has_its_answers_beside_it_or_no_labels(tmp_path: Path) -> None:
    write_ssv2(tmp_path)
    (tmp_path / "test.json").write_text('[{"id": "4"}, {"id": "5"}]')
    found = find_annotations(tmp_path, "test")
    assert found is not None
    assert found.classes_of == (None, None)
    (tmp_path / "test-answers.csv").write_text("5;Moving something up\n4;Tearing something into two pieces\n")
    found = find_annotations(tmp_path, "test")
    assert found is not None
    assert found.classes_of == ("Tearing something into two pieces", "Moving something up")


def test_one_of_several_sets_of_labels_is_chosen_by_its_name(tmp_path: Path) -> None:
    write_ssv2(tmp_path)
    (tmp_path / "train_motion.json").write_text('[{"id": "7", "template": "Up"}]')
    (tmp_path / "labels_motion.json").write_text('{"Up": "0"}')
    found = find_annotations(tmp_path, "train", "motion")
    assert found is not None
    assert found.classes_of == ("Up",)
    with pytest.raises(InputError, match=r"train_colour\.json"):
        find_annotations(tmp_path, "train", "colour")


def test_kinetics_table_names_files_by_their_times(tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text(
        'label,youtube_id,time_start,time_end,split\nplaying "go",abc-d,3,13,val\nabseiling,x_y,100,110,val\n'
    )
    found = find_annotations(tmp_path, "val")
    assert found is not None
    assert found.names == ("abc-d_000003_000013", "x_y_000100_000110")
    assert found.classes_of == ('playing "go"', "abseiling")
    assert found.classes is None


@pytest.mark.parametrize("between", [" ", ",", ", "])
def test_lines_of_path_and_number_have_as_many_classes_as_the_largest(between: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(f"wave/a 1.mp4{between}2\n\njump/b.mp4{between}10\n")
    found = find_annotations(tmp_path, "train")
    assert found is not None
    assert found.names == ("wave/a 1.mp4", "jump/b.mp4")
    assert found.classes == tuple(map(str, range(11)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.json", "{"),
        ("train.json", '[{"template": "x"}]'),
        ("train.json", '{"id": 3}'),
        ("train.csv", "a,b,c\n"),
        ("train.csv", "\x00\x01"),
        ("train.csv", "label,youtube_id,time_start,time_end\nx,y,one,two\n"),
    ],
)
def test_damaged_files_are_named(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name}: "):
        find_annotations(tmp_path, "train")


def test_labels_that_are_not_numbered_from_0_are_refused(tmp_path: Path) -> None:
    write_ssv2(tmp_path)
    (tmp_path / "labels.json").write_text('{"Moving something up": "1"}')
    with pytest.raises(InputError, match=r"labels\.json: .* number of its own from 0 on"):
        find_annotations(tmp_path, "train")


def test_a_folder_without_labels_has_none(tmp_path: Path) -> None:
    assert find_annotations(tmp_path, "train") is None
