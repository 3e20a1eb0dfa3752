"""Scores of anybody's predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.images.open_pictures import open_pictures
from perception_tools.image.evaluate import evaluate_classifiers
from perception_tools.image.model import load_classifier
from perception_tools.image.prediction import predict
from perception_tools.image.score import score_imagenet

CLASSES = ("n01440764", "n01443537", "n01484850")


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    path = tmp_path / "classes.txt"
    path.write_text("\n".join(CLASSES))
    return path


def test_our_own_predictions_score_as_evaluated(
    trained_classifier: Path, pictures: Path, classes: Path, tmp_path: Path
) -> None:
    expected = evaluate_classifiers((trained_classifier,), pictures, tmp_path / "evaluated")
    model = load_classifier(trained_classifier).model
    given = predict(model, open_pictures(pictures, "val"))
    turned = np.arange(len(given))[::-1]  # the order is the ids'
    np.savez(tmp_path / "ours.npz", logits=np.log(given.probabilities)[turned], ids=np.array(given.ids)[turned])
    found = score_imagenet((tmp_path / "ours.npz",), pictures, tmp_path / "scored", classes=classes)
    for name in ("pictures", "top1", "top5"):
        assert found[name] == expected[name]
    assert found["calibration_error"] == pytest.approx(expected["calibration_error"], abs=1e-6)
    np.save(tmp_path / "ordered.npy", given.probabilities)
    ordered = score_imagenet((tmp_path / "ordered.npy",), pictures, tmp_path / "ordered", classes=classes)
    assert ordered["top1"] == expected["top1"]


@pytest.mark.parametrize("form", ["list.json", "object.json", "lines.jsonl", "table.csv"])
def test_named_classes_are_read_from_every_kind_of_file(
    form: str, pictures: Path, classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All pictures but one are called right; the second guess of that one is."""
    records = list(open_pictures(pictures, "val"))
    ranked = {f"val/{record.class_name}/{record.id}": [str(record.class_name)] for record in records}
    wrong = next(iter(ranked))
    ranked[wrong] = ["n01484850", *ranked[wrong]]
    path = tmp_path / form
    rows = [{"file": name, "predictions": answers} for name, answers in ranked.items()]
    if form == "list.json":
        path.write_text(json.dumps(rows))
    elif form == "object.json":
        path.write_text(json.dumps({name: [CLASSES.index(a) for a in answers] for name, answers in ranked.items()}))
    elif form == "lines.jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        lines = [f"{name},{' '.join(answers)}" for name, answers in ranked.items()]
        path.write_text("\n".join(["filename,prediction", *lines]))
    metrics = score_imagenet((path,), pictures, tmp_path / "out", classes=classes)
    assert metrics["top1"] == pytest.approx(11 / 12)
    assert metrics["top5"] == 1
    assert "of the truth" not in capsys.readouterr().out


def test_perfect_and_constant_predictions_are_remarked_on(
    pictures: Path, classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = list(open_pictures(pictures, "val"))
    for name, answers in (("truth", [r.class_name for r in records]), ("constant", [CLASSES[0]] * len(records))):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({record.id: answer for record, answer in zip(records, answers, strict=True)}))
    score_imagenet((tmp_path / "truth.json", tmp_path / "constant.json"), pictures, tmp_path / "o", classes=classes)
    out = capsys.readouterr().out
    assert "is this the file of the truth?" in out
    assert "every picture has the same prediction" in out


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("[]", "found none"),
        ('[{"id": "x"}]', "expected fields such as `id` and `prediction`, found id"),
        ('{"n01440764_0": "cat"}', "found 'cat'"),
        ('{"n01440764_0": 3}', "found '3'"),
        ('{"n01440764_0": 0}', "found none for 11"),
        ('[{"id": "a", "pred": 0}, {"id": "b/a.png", "pred": 1}]', "more than one prediction for a"),
        ("{", "predictions.json"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    content: str, found: str, pictures: Path, classes: Path, tmp_path: Path
) -> None:
    path = tmp_path / "predictions.json"
    path.write_text(content)
    with pytest.raises(InputError, match=found):
        score_imagenet((path,), pictures, tmp_path / "out", classes=classes)


def test_logits_of_another_number_of_classes_are_refused(pictures: Path, classes: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "logits.npy", np.zeros((12, 1000), np.float32))
    with pytest.raises(InputError, match=r"shape \(pictures, 3\), found float32 of shape \(12, 1000\)"):
        score_imagenet((tmp_path / "logits.npy",), pictures, tmp_path / "out", classes=classes)
    np.save(tmp_path / "few.npy", np.zeros((11, 3), np.float32))
    with pytest.raises(InputError, match="a prediction for each of 12 pictures"):
        score_imagenet((tmp_path / "few.npy",), pictures, tmp_path / "out", classes=classes)


def test_a_missing_list_of_classes_and_no_file_are_refused(pictures: Path, classes: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; give a text file with a class in each line"):
        score_imagenet((tmp_path / "p.npy",), pictures, tmp_path / "out", classes=tmp_path / "nowhere.txt")
    with pytest.raises(InputError, match="expected at least one file of predictions"):
        score_imagenet((), pictures, tmp_path / "out", classes=classes)
