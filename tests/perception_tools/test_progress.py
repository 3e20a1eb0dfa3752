from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

from perception_datasets.errors import Failures, RecordError
from perception_datasets.stores.writer import Prepared
from perception_tools.progress import projection, report_preparation, watch_preparation


def parts(*, stopped_by: signal.Signals | None = None, closed: list[bool] | None = None) -> Generator[Prepared]:
    try:
        yield Prepared(3)
        for name in ("7", "9"):
            failed = Failures()
            failed.add(name, RecordError(f"{name} is broken"))
            yield Prepared(2, 1, failed)
            if stopped_by is not None:
                os.kill(os.getpid(), stopped_by)
    finally:
        if closed is not None:
            closed.append(True)


def test_progress_is_shown_and_the_outcomes_of_all_parts_are_gathered(capsys: pytest.CaptureFixture[str]) -> None:
    prepared = watch_preparation(parts(), "val", total=7, unit="scenario")
    assert prepared.failures.reasons == {"7": "7 is broken", "9": "9 is broken"}
    assert (prepared.records, prepared.renewed) == (7, 2)
    shown = capsys.readouterr().err
    assert "val: 100%" in shown
    assert "7/7" in shown
    assert "scenario/s" in shown


@pytest.mark.parametrize("stopped_by", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_preparation_is_closed_and_says_that_it_can_be_continued(stopped_by: signal.Signals) -> None:
    closed: list[bool] = []
    with pytest.raises(KeyboardInterrupt, match="what is complete is kept, and the same command continues"):
        watch_preparation(parts(stopped_by=stopped_by, closed=closed), "val", total=7, unit="scenario")
    assert closed == [True]


def test_the_report_tells_what_was_read_again_and_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    failures = Failures({"7": "7 is broken"})
    assert report_preparation(Prepared(3, 2, failures), "val", "scenarios") == 0
    assert capsys.readouterr().out.splitlines() == [
        "val: 2 scenarios read again, because their files had changed or the store was damaged",
        "1 of 3 scenarios could not be read",
        "  7: 7 is broken",
    ]
    assert report_preparation(Prepared(3), "val", "scenarios") == 0
    assert capsys.readouterr().out == ""


def test_a_preparation_of_which_nothing_can_be_used_has_failed() -> None:
    assert report_preparation(Prepared(1, 0, Failures({"7": "7 is broken"})), "val", "scans") == 1
    assert report_preparation(Prepared(), "val", "scans") == 1


def test_other_sizes_are_projected_from_what_was_measured() -> None:
    prepared = Prepared(records=100, read=50, seconds=0.5, stored_bytes=4_000_000)
    assert projection(prepared, "scenes", (360_000, 1_000)) == (
        "10.0 ms and 40.0 kB for each of the scenes; so one process would take 360,000 in 1 hours and 14 GB, "
        "1,000 in 0.0028 hours and 0.04 GB"
    )
    shared = Prepared(records=100, read=50, seconds=0.5, stored_bytes=4_000_000, shared_bytes=2_500_000)
    assert "40.0 kB for each of the scenes beside 2.5 MB that they share; so one" in projection(shared, "scenes", (7,))
