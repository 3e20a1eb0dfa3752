from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.points.run import PointRun


def test_a_run_says_what_its_best_epoch_is_told_by(make_point_run: Callable[..., PointRun], tmp_path: Path) -> None:
    described = make_point_run(tmp_path / "a").describe()
    assert (described["best_on"], described["held_out"], described["split"]) == ("held-out", 0.25, "train")
    described = make_point_run(tmp_path / "a", best_on="test").describe()
    assert described["best_on"] == "test"
    assert "held_out" not in described


def test_runs_that_cannot_be_judged_are_refused(make_point_run: Callable[..., PointRun], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--held-out 0: expected a part"):
        make_point_run(tmp_path / "a", held_out=0.0).check()
    with pytest.raises(InputError, match="--split test: expected another split"):
        make_point_run(tmp_path / "a", split="test", best_on="test").check()
    make_point_run(tmp_path / "a", split="test").check()
