"""What makes two runs of a scene answerer the same one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perception_tools.scene_qa.recipes import RECIPES
from perception_tools.scene_qa.run import SceneQaRun

NAME = "scene-qa/rooms"
RUN = SceneQaRun(data=Path("in"), out=Path("out"), recipe=RECIPES[NAME], name=NAME)


@pytest.mark.parametrize("option", ["answers", "word_vectors", "detector_run"])
def test_files_that_a_model_is_made_of_make_another_run(option: str, tmp_path: Path) -> None:
    described = replace(RUN, **{option: tmp_path / "there"}).describe()
    assert described[option] == str(tmp_path / "there")
    assert RUN.describe()[option] is None
    assert {name for name in described if described[name] != RUN.describe()[name]} == {option}


def test_the_rest_is_every_runs() -> None:
    assert RUN.describe()["recipe"] == RECIPES[NAME].to_json()
    assert replace(RUN, keep=3).describe() == RUN.describe()
