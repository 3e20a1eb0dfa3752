from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.errors import InputError
from perception_tools.analysis.sweep.grid import Cell, make_grid, parse_over, parse_seeds, swept_fields, values_of
from perception_tools.forecasting.recipes import RECIPES
from perception_tools.forecasting.run import ForecastRun
from perception_tools.scene_qa.recipes import RECIPES as SCENE_QA_RECIPES
from perception_tools.scene_qa.run import SceneQaRun

FORECAST = ForecastRun(
    data=Path("in"), out=Path("out"), recipe=RECIPES["forecast/vectornet-llama"], name="forecast/vectornet-llama"
)
SCENE_QA = SceneQaRun(
    data=Path("in"), out=Path("out"), recipe=SCENE_QA_RECIPES["scene-qa/rooms"], name="scene-qa/rooms"
)
VALUES = st.one_of(
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none(),
    st.text(string.ascii_letters + string.digits + "._-:?=/ ", min_size=1, max_size=200),
)
CELLS = st.builds(
    Cell, st.sampled_from([*RECIPES]), st.dictionaries(st.sampled_from(["dim", "block.kind", "limit"]), VALUES)
)


@settings(deadline=None)
@given(CELLS)
def test_the_name_of_a_cell_is_one_folder_that_a_shell_leaves_alone(cell: Cell) -> None:
    allowed = set(string.ascii_letters + string.digits + "_.,=+-~")
    assert set(cell.name) <= allowed
    assert 0 < len(cell.name) < 200
    assert cell.name[0] in string.ascii_letters


@settings(deadline=None)
@given(CELLS, CELLS)
def test_different_cells_have_different_names(one: Cell, other: Cell) -> None:
    def text(cell: Cell) -> tuple:
        return cell.recipe, {name: str(value) for name, value in cell.settings.items()}

    assert (one.name == other.name) == (text(one) == text(other))


def test_a_name_can_be_read_and_does_not_depend_on_the_order_of_the_fields() -> None:
    cell = Cell("forecast/vectornet", {"dim": 16, "block.kind": "mlp"})
    assert cell.name == "vectornet,block.kind=mlp,dim=16"
    assert cell.name == Cell("forecast/vectornet", {"block.kind": "mlp", "dim": 16}).name


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1), st.lists(st.integers(), unique=True, min_size=1, max_size=4))
def test_a_grid_holds_every_combination_once(recipes: list[str], values: list[int]) -> None:
    cells = make_grid(recipes, {"x": values, "y": (True, False)})
    assert len(cells) == 2 * len(values) * len(set(recipes))
    assert len({cell.name for cell in cells}) == len(cells)


@settings(deadline=None)
@given(st.lists(st.integers(0, 99), min_size=1))
def test_seeds_are_those_that_are_listed_each_once(seeds: list[int]) -> None:
    assert parse_seeds(",".join(map(str, seeds))) == tuple(dict.fromkeys(seeds))


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(0, 20))
def test_a_range_of_seeds_includes_both_ends(first: int, more: int) -> None:
    assert parse_seeds(f"{first}..{first + more}") == tuple(range(first, first + more + 1))
    assert parse_seeds(f"200,{first}..{first + more}") == (200, *range(first, first + more + 1))


@pytest.mark.parametrize("text", ["", ",", "0,", "a", "4..0", "-1", "0...4", "1.5", "0..", "0 1"])
def test_what_names_no_seeds_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--seeds .*: expected whole numbers such as 0\.\.4 or 0,1,2; got"):
        parse_seeds(text)


def test_fields_are_those_of_the_recipe_by_dotted_names_and_those_that_make_another_run() -> None:
    fields = swept_fields(FORECAST)
    assert {"dim", "view", "learning_rate", "block.kind", "block.residual", "limit"} <= fields.keys()
    assert not {"block", "data", "out", "name", "recipe", "split", "devices", "RENAMED"} & fields.keys()
    assert {"detector", "detector_run", "word_vectors"} <= swept_fields(SCENE_QA).keys()


def test_values_are_read_by_the_type_of_their_field() -> None:
    texts = ["dim=8,16", "learning-rate=1e-4,2", "block.kind=none,mlp", "block.bias=true,False", "limit=None,5"]
    assert parse_over(texts, FORECAST) == {
        "dim": (8, 16),
        "learning_rate": (1e-4, 2.0),
        "block.kind": ("none", "mlp"),
        "block.bias": (True, False),
        "limit": (None, 5),
    }
    assert parse_over(["detector_run=None,a/b"], SCENE_QA) == {"detector_run": (None, Path("a/b"))}
    assert parse_over(["block.source=-x,random:32x48x4?seed=0"], FORECAST) == {
        "block.source": ("-x", "random:32x48x4?seed=0")
    }


def test_a_value_that_is_given_twice_counts_once() -> None:
    assert parse_over(["dim=8,16,8"], FORECAST) == {"dim": (8, 16)}


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        (["dimm=8"], r"the recipe has no field 'dimm'; did you mean dim\?"),
        (["kind=mlp"], r"the recipe has no field 'kind'; did you mean block\.kind\?"),
        (["block=mlp"], r"the recipe has no field 'block'; expected one of block\.kind, block\.source"),
        (["qqq=1"], r"the recipe has no field 'qqq'; expected one of .*dim"),
        (["dim"], "expected FIELD=VALUE,VALUE"),
        (["dim="], "expected FIELD=VALUE,VALUE"),
        (["seed=0,1"], "give --seeds 0,1"),
        (["dim=8", "dim=16"], "dim is given twice; give all its values at once"),
        (["dim=8,x"], "--over dim: expected a whole number, got 'x'"),
        (["dim=8.5"], "expected a whole number, got '8.5'"),
        (["dim=8,"], "expected a whole number, got ''"),
        (["dropout=much"], "expected a number, got 'much'"),
        (["block.bias=maybe"], "expected True or False, got 'maybe'"),
        (["block.kind=llama"], "expected one of language, random, mlp, none, got 'llama'"),
        (["limit=all"], r"expected a whole number or None, got 'all'"),
    ],
)
def test_what_cannot_be_swept_is_named_with_its_cure(
    texts: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=complaint):
        parse_over(texts, FORECAST)
    assert capsys.readouterr() == ("", "")


def test_a_cell_sets_its_values_and_nothing_else() -> None:
    made = Cell("forecast/vectornet-llama", {"dim": 8, "block.kind": "mlp", "limit": 3}).apply(FORECAST)
    recipe = replace(FORECAST.recipe, dim=8, block=replace(FORECAST.recipe.block, kind="mlp"))
    assert made == replace(FORECAST, recipe=recipe, limit=3)


def test_ranges_of_layers_and_several_blocks_are_values_too() -> None:
    found = parse_over(["block.source=smollm2#0..2,dir/a+b#28+29,x#-2+-1,plain..name"], FORECAST)
    assert found["block.source"] == ("smollm2#0", "smollm2#1", "smollm2#2", "dir/a+b#28,29", "x#-2,-1", "plain..name")


def test_fields_of_unlike_cells_are_collected_in_their_order() -> None:
    cells = [
        Cell("x/a", {}),
        Cell("x/b", {"rate": 0.1, "kind": [1]}),
        Cell("x/b", {"kind": [2]}),
        Cell("x/b", {"kind": [1]}),
    ]
    assert values_of(cells) == {"rate": (0.1,), "kind": ([1], [2])}
