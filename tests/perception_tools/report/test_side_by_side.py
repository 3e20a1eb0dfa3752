"""Names of models side by side, and trainings that differ in their seed alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perception.errors import InputError
from perception_tools.report.side_by_side import Contestant, group_seeds, names_apart, with_folders
from perception_tools.training.recipes import BlockRecipe, LearningRecipe

RECIPE = LearningRecipe()


def contestant(name: str = "a", path: str = "runs/a", trained_on: object = "data", **change: Any) -> Contestant:
    return Contestant(name, replace(RECIPE, **change), Path(path), trained_on)


def test_different_recipes_are_called_by_their_names() -> None:
    assert names_apart([contestant("a"), contestant("b")]) == ["a", "b"]


def test_runs_of_one_recipe_are_told_by_what_differs() -> None:
    assert names_apart([contestant(seed=0), contestant(seed=1), contestant("b")]) == ["a (seed 0)", "a (seed 1)", "b"]
    block = BlockRecipe(source="other")
    assert names_apart([contestant(), contestant(block=block)]) == [
        "a (block.source smollm2)",
        "a (block.source other)",
    ]


def test_runs_that_differ_in_much_or_in_nothing_are_told_by_their_folders(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
    changes: tuple[dict[str, Any], ...] = ({"seed": 1, "passes": 3, "accumulate": 2}, {})
    for changed in changes:
        models = [contestant(path=str(tmp_path / "x")), contestant(path=str(tmp_path / "y"), **changed)]
        assert names_apart(models) == ["a [x]", "a [y]"]


def test_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    twice = [contestant(path=str(tmp_path / "run")) for _ in range(2)]
    with pytest.raises(InputError, match=r"expected models of different runs, got a \[run\], a \[run\]"):
        names_apart(twice)


def test_the_folder_of_a_model_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    models = [contestant(path=str(path)) for path in (tmp_path / "one", tmp_path / "two" / "model.safetensors")]
    assert names_apart(models) == ["a [one]", "a [two]"]


def test_trainings_that_differ_in_the_seed_alone_are_one_system() -> None:
    models = [contestant(seed=0), contestant("b", seed=0), contestant(seed=2), contestant(seed=0, passes=3)]
    first, second, third = group_seeds(models, ["a (seed 0)", "b", "a (seed 2)", "a 3"])
    assert (first.name, first.members, first.seeds) == ("a (2 seeds)", (0, 2), (0, 2))
    assert (second.name, second.members) == ("b", (1,))
    assert (third.name, third.members) == ("a 3", (3,))


def test_other_data_and_a_second_model_of_a_seed_stand_for_themselves() -> None:
    models = [contestant(seed=0), contestant(seed=0), contestant(seed=1, trained_on="more")]
    assert [system.members for system in group_seeds(models, ["x", "y", "z"])] == [(0,), (1,), (2,)]


def test_two_systems_of_one_recipe_have_different_names() -> None:
    models = [contestant(seed=seed, passes=passes) for passes in (1, 2) for seed in (0, 1)]
    names = [system.name for system in group_seeds(models, ["p1 s0", "p1 s1", "p2 s0", "p2 s1"])]
    assert names == ["p1 s0 and its seeds", "p2 s0 and its seeds"]


def test_given_names_get_the_folders_of_their_runs_only_where_they_are_alike(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    for path in paths:
        path.mkdir()
    assert with_folders(["a", "b"], paths) == ["a", "b"]
    assert with_folders(["a", "a"], paths) == ["a [one]", "a [two]"]
    with pytest.raises(InputError, match=r"expected models of different runs, got a \[one\], a \[one\]"):
        with_folders(["a", "a"], paths[:1] * 2)
