"""What makes two training runs the same one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from perception_tools.training.recipes import LearningRecipe
from perception_tools.training.run import TrainingRun

RUN = TrainingRun(data=Path("data"), out=Path("out"), recipe=LearningRecipe(seed=3), name="a-task/a-recipe")


def test_a_run_describes_itself_in_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    described = json.loads(json.dumps(RUN.describe()))
    assert described == RUN.describe()
    assert (described["name"], described["data"], described["limit"]) == (
        "a-task/a-recipe",
        str(tmp_path / "data"),
        None,
    )
    assert LearningRecipe.from_json(described["recipe"]) == RUN.recipe


@pytest.mark.parametrize(
    "change", [{"recipe": LearningRecipe(seed=4)}, {"data": Path("other")}, {"limit": 7}, {"name": "a-task/another"}]
)
def test_what_changes_the_result_makes_another_run(change: dict) -> None:
    assert replace(RUN, **change).describe() != RUN.describe()


@pytest.mark.parametrize("change", [{"workers": 4}, {"out": Path("elsewhere")}, {"devices": 2}, {"keep": 9}])
def test_a_run_may_be_continued_elsewhere_or_with_other_means(change: dict) -> None:
    assert replace(RUN, **change).describe() == RUN.describe()
