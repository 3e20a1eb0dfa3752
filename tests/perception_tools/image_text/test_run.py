"""What a run is told: what makes it another run, and places it must not write to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.image_text.run import ImageTextRun


def test_a_run_is_told_by_all_that_it_starts_from(make_run: Callable[..., ImageTextRun], tmp_path: Path) -> None:
    plain, other = (
        make_run(tmp_path / "out").describe(),
        make_run(tmp_path / "out", text_tower=str(tmp_path)).describe(),
    )
    assert plain["text_tower"] is None
    assert other["text_tower"] == str(tmp_path.resolve())
    assert make_run(tmp_path / "out", text_tower="some/model").describe()["text_tower"] == "some/model"
    assert plain.keys() >= {"pictures", "image_tower", "start_from", "answers", "split", "recipe"}


def test_nothing_is_written_among_what_is_read(make_run: Callable[..., ImageTextRun], tmp_path: Path) -> None:
    make_run(tmp_path / "out", pictures=tmp_path / "pictures").check()
    (tmp_path / "tower").mkdir()
    with pytest.raises(InputError, match="it lies in that"):
        make_run(tmp_path / "tower" / "out", image_tower=str(tmp_path / "tower")).check()
