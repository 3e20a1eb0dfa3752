from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from perception.errors import InputError
from perception_tools.training.fit import fit
from perception_tools.video.evaluate import evaluate_recognizers
from perception_tools.video.run import ActionRun


def test_an_evaluation_leaves_its_numbers_its_records_and_a_page(
    trained_recognizer: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = evaluate_recognizers((trained_recognizer,), clips, tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert (metrics["clips"], metrics["unread"], metrics["top5"]) == (4, 0, 1.0)
    assert 0 <= metrics["top1"] <= 1
    assert (metrics["views"], metrics["order"], metrics["split"]) == ([2, 3], "kept", "val")
    records = pq.read_table(tmp_path / "records.parquet").to_pydict()
    assert records["clip"] == ["val0", "val1", "val2", "val3"]
    assert sum(records["top1"]) / 4 == metrics["top1"]
    page = (tmp_path / "report.html").read_text()
    assert "2 view(s) in time, each in 3 square(s)" in page
    assert "control" not in page
    assert "val (4 clips)" in capsys.readouterr().out


def test_a_control_says_that_it_is_one(trained_recognizer: Path, clips: Path, tmp_path: Path) -> None:
    metrics = evaluate_recognizers((trained_recognizer,), clips, tmp_path, order="still", temporal_views=1)
    assert metrics["order"] == "still"
    assert "The images of a clip are still: this is a control" in (tmp_path / "report.html").read_text()


def test_runs_are_compared_on_the_same_clips(
    make_run: Callable[..., ActionRun], trained_recognizer: Path, clips: Path, tmp_path: Path
) -> None:
    fit(make_run(tmp_path / "other", {"seed": 1, "passes": 1}))
    metrics = evaluate_recognizers(
        (trained_recognizer, tmp_path / "other"), clips, tmp_path / "out", where="hand=right"
    )
    assert (metrics["clips"], metrics["where"]) == (2, "hand=right")
    assert len(metrics["others"]) == len(metrics["paired"]) == 1


def test_a_video_that_cannot_be_read_is_counted(
    write_clips: Callable[..., Path], trained_recognizer: Path, tmp_path: Path
) -> None:
    data = write_clips(tmp_path / "data")
    (data / "val" / "val2.mp4").write_bytes(b"")
    metrics = evaluate_recognizers((trained_recognizer,), data, tmp_path / "out")
    assert (metrics["clips"], metrics["unread"]) == (3, 1)
    assert "val2.mp4" in metrics["failures"]["val2"]


@pytest.mark.parametrize(("option", "value"), [("batch", 0), ("workers", -1), ("temporal_views", 0)])
def test_numbers_that_make_no_sense_are_refused(
    option: str, value: int, trained_recognizer: Path, clips: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="expected at least"):
        evaluate_recognizers((trained_recognizer,), clips, tmp_path, **{option: value})  # pyright: ignore[reportArgumentType]


def test_clips_of_other_classes_and_no_runs_are_refused(trained_recognizer: Path, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "val" / "jump").mkdir(parents=True)
    (tmp_path / "val" / "jump" / "1.mp4").touch()
    with pytest.raises(InputError, match="expected the classes of"):
        evaluate_recognizers((trained_recognizer,), tmp_path, tmp_path.parent / f"{tmp_path.name}-out")
    with pytest.raises(InputError, match="at least one run"):
        evaluate_recognizers((), clips, tmp_path / "out")
