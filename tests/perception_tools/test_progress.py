from __future__ import annotations

from collections.abc import Iterator

import pytest

from perception_datasets.errors import Failures, RecordError
from perception_tools.progress import watch_preparation


def test_progress_is_shown_and_what_failed_is_gathered_from_all_parts(capsys: pytest.CaptureFixture[str]) -> None:
    def parts() -> Iterator[tuple[int, Failures]]:
        yield 3, Failures()
        for name in ("7", "9"):
            failed = Failures()
            failed.add(name, RecordError(f"{name} is broken"))
            yield 2, failed

    failures = watch_preparation(parts(), "val", total=7, unit="scenario")
    assert failures.reasons == {"7": "7 is broken", "9": "9 is broken"}
    shown = capsys.readouterr().err
    assert "val: 100%" in shown
    assert "7/7" in shown
    assert "scenario/s" in shown


def test_nothing_to_prepare_is_no_failure() -> None:
    assert len(watch_preparation([], "val", total=0, unit="scan")) == 0
