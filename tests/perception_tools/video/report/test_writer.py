from __future__ import annotations

from pathlib import Path
from typing import Any

from perception_tools.video.published import PUBLISHED
from perception_tools.video.report.writer import published_table, write_action_report

NUMBERS: dict[str, Any] = {
    "name": "video/ssv2-s-llama",
    "clips": 10,
    "top1": 0.7,
    "top5": 0.9,
    "interval": {"top1": [0.6, 0.8], "top5": [0.8, 1.0]},
    "calibration_error": 0.1,
    "others": {},
    "paired": {},
    "systems": [{"name": "video/ssv2-s-llama", "seeds": [0], "mean": {}, "values": {}}],
}


def test_published_rows_stand_beside_what_was_measured() -> None:
    rows = published_table(NUMBERS).rows
    assert len(rows) == len(PUBLISHED) + 1
    assert rows[-1][0] == "video/ssv2-s-llama, measured here"


def test_published_rows_are_shown_for_models_of_the_papers_classes_alone(tmp_path: Path) -> None:
    for classes in (174, 5):
        path = tmp_path / f"{classes}.html"
        write_action_report(
            path, {"val": NUMBERS}, main="val", data_name="ssv2", classes=classes, views="1 view", order="shuffled"
        )
        page = path.read_text()
        assert ("65.89" in page) == (classes == 174)
        assert "The images of a clip are shuffled" in page
