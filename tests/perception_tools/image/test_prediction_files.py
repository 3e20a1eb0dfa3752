"""Files of anybody's predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_tools.image.prediction_files import picture_key, read_predictions

CLASSES = ("ant", "bee", "cat")


def test_arrays_keep_their_rows_and_ids(tmp_path: Path) -> None:
    logits = np.array([[1.0, 2.0, 3.0], [0.5, 0.0, -1.0]], np.float32)
    np.savez(tmp_path / "p.npz", logits=logits, ids=["val/ant/x.png", "y.JPEG"])
    found = read_predictions(tmp_path / "p.npz", CLASSES)
    assert found.ids == ("x", "y")
    assert np.array_equal(found.scores, logits)
    assert not found.are_ranks
    np.save(tmp_path / "p.npy", logits)
    assert read_predictions(tmp_path / "p.npy", CLASSES).ids is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", "file,top5\nx.png,cat ant\ny.png,1"),
        ("p.csv", "\ufefffile,top5\nx.png,cat;ant\ny.png,bee"),
        ("p.json", '[{"id": "x", "prediction": ["cat", "ant"]}, {"id": "y", "prediction": 1}]'),
        ("p.json", '{"a/x.png": [2, 0], "y": "bee"}'),
        ("p.jsonl", '{"image": "x", "pred": "cat, ant"}\n\n{"image": "y", "pred": "bee"}\n'),
    ],
)
def test_ranked_classes_are_read_by_name_and_by_number(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    found = read_predictions(tmp_path / name, CLASSES)
    assert (found.ids, found.are_ranks) == (("x", "y"), True)
    assert np.argsort(-found.scores[0]).tolist() == [2, 0, 1]
    assert found.scores[1].argmax() == 1


def test_a_class_whose_name_is_a_number_is_meant_by_name(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"x": "2"}')
    assert read_predictions(tmp_path / "p.json", ("2", "0", "1")).scores[0].argmax() == 0


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"wrong": np.zeros((2, 3))}, "expected an array `logits` or `probabilities`, found wrong"),
        ({"logits": np.zeros((2, 4))}, r"shape \(pictures, 3\), found float64 of shape \(2, 4\)"),
        ({"logits": np.zeros((2, 3), int)}, "found int64"),
        ({"logits": np.full((2, 3), np.nan)}, "expected finite numbers"),
        ({"logits": np.zeros((2, 3)), "ids": ["a", "b", "c"]}, "as many ids as predictions, 2, found 3"),
        ({"logits": np.zeros((2, 3)), "ids": ["a", "b/a.png"]}, "more than one prediction for a"),
        ({"logits": np.array([{}], dtype=object)}, "p.npz"),
    ],
)
def test_arrays_that_cannot_be_meant_are_refused(arrays: dict, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_predictions(tmp_path / "p.npz", CLASSES)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.json", "[1, 2]"),
        ("p.json", '"text"'),
        ("p.json", '[{"id": "a", "pred": 1}, {"id": "b"}]'),
        ("p.json", '[{"id": "a", "pred": -1}]'),
        ("p.json", '[{"id": "a", "pred": null}]'),
        ("p.csv", "id,prediction\na,dog"),
        ("p.csv", "id,prediction\na"),
        ("p.csv", "id,prediction\na,0,1,2"),
        ("p.csv", ""),
        ("p.jsonl", "{"),
        ("p.npy", "no array"),
        ("p.npz", "no archive"),
    ],
)
def test_other_content_is_refused_by_name(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=name):
        read_predictions(tmp_path / name, CLASSES)


@pytest.mark.parametrize("name", ["val/n01/x.JPEG", "x", "x.png"])
def test_a_picture_is_told_by_its_name_without_folder_and_ending(name: str) -> None:
    assert picture_key(name) == "x"
