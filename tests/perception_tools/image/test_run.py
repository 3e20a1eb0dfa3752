"""What makes two runs of a classifier the same one, and what is refused before anything is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.image.recipes import RECIPES
from perception_tools.image.run import ImageRun

NAME = "image/vit-micro"
RUN = ImageRun(data=Path("in"), out=Path("out"), recipe=RECIPES[NAME], name=NAME)


@pytest.mark.parametrize("option", ["classes", "start_from"])
def test_files_that_a_model_is_made_of_make_another_run(option: str, tmp_path: Path) -> None:
    described = replace(RUN, **{option: tmp_path / "there"}).describe()
    assert described[option] == str(tmp_path / "there")
    assert RUN.describe()[option] is None
    assert {name for name in described if described[name] != RUN.describe()[name]} == {option}


@pytest.mark.parametrize(("option", "value"), [("split", "all"), ("held_out", 0.5)])
def test_other_training_pictures_make_another_run(option: str, value: object) -> None:
    assert replace(RUN, **{option: value}).describe()[option] == value
    assert RUN.describe()[option] != value


def test_how_it_is_run_makes_no_other_run() -> None:
    assert RUN.describe()["recipe"] == RECIPES[NAME].to_json()
    assert replace(RUN, workers=3, val_limit=5).describe() == RUN.describe()


def test_a_split_is_not_validated_on_itself() -> None:
    same = replace(RUN, split="val")
    with pytest.raises(InputError, match="--split val: expected another split than that of --val-split"):
        same.check()
    replace(same, held_out=0.1).check()


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_what_is_held_out_is_a_part(share: float) -> None:
    with pytest.raises(InputError, match="held_out: expected a number from 0 to below 1"):
        replace(RUN, held_out=share).check()


@pytest.mark.parametrize("option", ["classes", "start_from"])
def test_nothing_is_written_over_what_a_run_reads(option: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a place for the results apart from"):
        replace(RUN, out=tmp_path / "file", **{option: tmp_path / "file"}).check()
