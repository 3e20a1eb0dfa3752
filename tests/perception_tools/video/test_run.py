"""What makes two runs the same one, and what is refused before anything is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.video.recipes import RECIPES
from perception_tools.video.run import ActionRun

NAME = "video/micro"
RUN = ActionRun(data=Path("in"), out=Path("out"), recipe=RECIPES[NAME], name=NAME)


@pytest.mark.parametrize(
    ("option", "value"), [("labels", "motion"), ("where", "signer=tom"), ("split", "all"), ("held_out", 0.5)]
)
def test_other_training_clips_make_another_run(option: str, value: object) -> None:
    described = replace(RUN, **{option: value}).describe()
    assert {name for name in described if described[name] != RUN.describe()[name]} == {option}


def test_the_checkpoint_that_a_model_starts_from_makes_another_run(tmp_path: Path) -> None:
    assert replace(RUN, start_from=tmp_path / "there").describe()["start_from"] == str(tmp_path / "there")
    assert RUN.describe()["start_from"] is None


def test_how_it_is_run_makes_no_other_run() -> None:
    assert replace(RUN, workers=3, val_limit=5, keep_mb=0).describe() == RUN.describe()


def test_a_split_is_not_validated_on_itself() -> None:
    same = replace(RUN, split="val")
    with pytest.raises(InputError, match="--split val: expected another split than that of --val-split"):
        same.check()
    replace(same, held_out=0.1).check()


def test_nothing_is_written_over_what_a_run_reads(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a place for the results apart from"):
        replace(RUN, out=tmp_path / "file", start_from=tmp_path / "file").check()
