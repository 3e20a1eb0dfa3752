"""The report on classifiers of any records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception_tools.classification.comparison import side_by_side
from perception_tools.classification.report import (
    findings,
    paired_table,
    score_table,
    system_table,
    write_classification_report,
)
from perception_tools.classification.scores import ClassScores
from perception_tools.report.side_by_side import TrainedSystem


def scores(right: int, of: int = 40, left_out: int = 0) -> ClassScores:
    hits, zeros = np.arange(of) < right, np.zeros(of, np.int64)
    ids, unread = tuple(f"c{number}" for number in range(of)), {"bad": "bad.off: it is <broken>"}
    both = np.stack([hits, np.ones_like(hits)], axis=1)
    return ClassScores("cloud", ids, zeros, zeros, hits * 0.9, both, unread, ("a", "b", "c"), left_out)


@pytest.fixture
def numbers() -> dict:
    """Two classifiers with two seeds each."""
    models = {"ours <1>": scores(30), "ours <2>": scores(32), "theirs": scores(10), "theirs 2": scores(12)}
    return side_by_side(models, [TrainedSystem("ours", (0, 1), (0, 1)), TrainedSystem("others", (2, 3), (0, 1))])


def test_findings_say_what_records_and_seeds_tell(numbers: dict) -> None:
    headline, *by_records, by_seeds = findings(numbers, "cloud")
    assert headline.startswith("ours <1> is right for 75.00\u00a0% of 40 clouds (95\u00a0% interval over clouds ")
    assert "ours <1> against theirs: +50.00 points top-1" in by_records[1]
    assert "These clouds tell the two apart" in by_records[1]
    assert "ours against others, means over seeds: +50.00 points top1" in by_seeds
    assert "over seeds and clouds" in by_seeds
    numbers["left_out"] = 4
    assert "the most likely of 3 classes; 4 clouds of classes that the models lack" in findings(numbers, "cloud")[1]


def test_scores_stand_in_rows_of_models_and_columns_of_sets(numbers: dict) -> None:
    group = {"mean_top1": 0.5, "top5": 0.9, "interval": {"mean_top1": [0.4, 0.6]}}
    table = score_table({"test": numbers, "c": group | {"name": "ours <1>", "others": {}, "mce": 71.25}}, "cloud")
    expected = ("model", "test: top-1", "test: top-5", "test: calibration error", "c: mean top-1", "c: top-5", "c: mCE")
    assert table.headings == expected
    assert "over clouds. Lower is better for mCE" in table.caption
    rows = {name: [cell.text for cell in cells] for name, cells in table.rows}
    assert rows["ours <1>"] == ["75.00", "100.00", "7.50", "50.00", "90.00", "71.25"]
    assert rows["theirs"][0] == "25.00"


def test_pairs_are_counted(numbers: dict) -> None:
    rows = {name: [cell.text for cell in cells] for name, cells in paired_table(numbers, "cloud").rows}
    assert rows["theirs, top1"][:3] == ["+50.00", "20", "0"]
    assert rows["theirs, top1"][-1] == "yes"
    assert rows["ours <2>, top1"][-1] == "no"


def test_means_over_seeds_stand_with_their_range_and_difference(numbers: dict) -> None:
    first, second = ([(cell.text, cell.note) for cell in cells] for _, cells in system_table(numbers).rows)
    assert first == [("2", ""), ("77.50", "75.00 to 80.00"), ("–", ""), ("–", "")]
    assert second[2][0] == "+50.00"
    assert second[3] == ("yes", "")


def test_the_page_holds_every_part_and_escapes_names(numbers: dict, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_classification_report(path, {"test": numbers}, noun="cloud", main="test", data_name="clouds", classes=3)
    html = path.read_text(encoding="utf-8")
    for text in ("ours &lt;1&gt; is right for 75.00", "40 clouds of 3 classes", "Cloud by cloud", "Means over seeds"):
        assert text in html, text
    assert "bad.off: it is &lt;broken&gt;" in html
    assert "4 models on clouds</h1>" in html
    assert "Published rows" not in html
    assert "<1>" not in html
