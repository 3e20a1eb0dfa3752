"""Pictures in the report, on a split whose predictions are made up."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception_datasets.images.open_pictures import open_pictures
from perception_datasets.images.records import Pictures
from perception_tools.classification.scores import ClassScores
from perception_tools.image.report import examples as module
from perception_tools.image.report.examples import class_table, confusion_table, find_examples
from perception_tools.image.report.writer import write_image_report


@pytest.fixture
def val(pictures: Path) -> Pictures:
    return open_pictures(pictures, "val")


@pytest.fixture
def scores(val: Pictures) -> ClassScores:
    """Twelve pictures: all of the first class right, half of the second and none of the third taken for the first."""
    predicted = np.array([0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0])
    right = predicted == val.labels
    ids = tuple(val.ids[index] for index in range(len(val)))
    confidence = np.linspace(0.3, 0.96, 12)
    return ClassScores("picture", ids, val.labels, predicted, confidence, np.stack([right, right], 1), {}, val.classes)


def test_the_surest_come_first_and_show_what_was_said(scores: ClassScores, val: Pictures) -> None:
    wrong, right = find_examples(scores, val)
    assert [example.confidence for example in wrong] == pytest.approx(np.linspace(0.3, 0.96, 12)[:5:-1])
    assert {(example.label, example.predicted) for example in wrong} == {
        (val.classes[1], val.classes[0]),
        (val.classes[2], val.classes[0]),
    }
    assert all(example.label == example.predicted for example in right)
    assert len(right) == 6


def test_a_thumbnail_is_the_picture_made_small(
    scores: ClassScores, val: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "THUMBNAIL", 10)
    monkeypatch.setattr(module, "SHOWN", 2)
    wrong, _ = find_examples(scores, val)
    assert len(wrong) == 2
    shown = Image.open(io.BytesIO(base64.b64decode(wrong[0].image.partition(",")[2])))
    assert max(shown.size) == 10
    original = val.decode(val[11]).pixels
    np.testing.assert_allclose(np.array(shown).mean((0, 1)), original.mean((0, 1)), atol=8)


def test_a_picture_that_can_no_longer_be_read_is_left_out(scores: ClassScores, val: Pictures) -> None:
    class Broken(Pictures):
        def decode(self, record):
            from perception_datasets.errors import RecordError

            raise RecordError(f"{record.id}: gone")

    assert find_examples(scores, Broken(**vars(val))) == ([], [])


def test_classes_and_what_they_are_taken_for_are_counted(scores: ClassScores, val: Pictures) -> None:
    first, second, third = val.classes
    rows = {name: [cell.text for cell in cells] for name, cells in confusion_table(scores).rows}
    assert rows == {third: [first, "4", "100.0 %"], second: [first, "2", "50.0 %"]}
    rows = [(name, [cell.text for cell in cells]) for name, cells in class_table(scores).rows]
    assert rows == [(third, ["4", "0.0 %"]), (second, ["4", "50.0 %"]), (first, ["4", "100.0 %"])]


def test_the_page_shows_them(plain: dict, scores: ClassScores, val: Pictures, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_image_report(
        page, {"val": plain}, main="val", data_name="x", classes=3, is_imagenet=False, first=(scores, val)
    )
    html = page.read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") == 12
    assert "Mistakes that it is surest of" in html
    assert "96 %" in html
