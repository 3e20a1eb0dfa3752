from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from perception_tools.analysis.sweep.grid import Cell
from perception_tools.analysis.sweep.table import (
    CellResults,
    compare,
    interval_of_mean,
    lookup,
    make_table,
    p_value_of_mean,
    short_names,
    summarise,
)

NUMBERS = st.lists(st.floats(-1e3, 1e3).map(lambda value: round(value, 3)), min_size=2, max_size=9)


def results(name: str, values: dict[int, float | None], missing: dict[int, str] | None = None) -> CellResults:
    return CellResults(Cell(name, {}), {seed: {"k6": {"fde": value}} for seed, value in values.items()}, missing or {})


@settings(deadline=None)
@given(NUMBERS)
def test_the_interval_of_a_mean_is_scipys(values: list[float]) -> None:
    assume(np.ptp(values) > 0)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert interval_of_mean(values) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-999, 999), st.integers(-999, 999)), min_size=2, max_size=9))
def test_the_paired_test_is_scipys(pairs: list[tuple[int, int]]) -> None:
    first, second = zip(*pairs, strict=True)
    assume(np.ptp(np.subtract(first, second)) > 0)
    paired = compare(results("a", dict(enumerate(first))), results("b", dict(enumerate(second))), "k6/fde")
    expected = stats.ttest_rel(first, second)
    low, high = expected.confidence_interval(0.95)
    assert paired["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert paired["interval"] == pytest.approx([low, high], rel=1e-9, abs=1e-9)
    assert paired["mean"] == pytest.approx(np.mean(first) - np.mean(second), abs=1e-9)


@settings(deadline=None)
@given(st.floats(-1e3, 1e3), st.integers(1, 9))
def test_values_that_are_all_the_same_or_alone_claim_nothing(value: float, count: int) -> None:
    summary = summarise(dict.fromkeys(range(count), value))
    assert (summary["mean"], summary["interval"]) == (pytest.approx(value), None)
    assert p_value_of_mean([value] * count) is None


def test_differences_that_are_the_same_but_for_rounding_claim_nothing() -> None:
    first, second = results("a", {0: 0.4, 1: 0.3}), results("b", {0: 0.2, 1: 0.1})
    paired = compare(first, second, "k6/fde")
    assert len(set(paired["differences"].values())) == 2, "rounding makes them differ"
    assert (paired["interval"], paired["p_value"]) == (None, None)


def test_a_summary_holds_values_by_seed_mean_and_spread() -> None:
    summary = summarise({0: 1.0, 3: 2.0, 4: 4.0})
    assert summary["values"] == {"0": 1.0, "3": 2.0, "4": 4.0}
    assert summary["mean"] == pytest.approx(7 / 3)
    assert summary["std"] == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert summarise({}) == {"values": {}, "mean": None, "std": None, "interval": None}


def test_pairs_are_over_the_seeds_that_both_cells_have() -> None:
    first, second = results("a", {0: 1.0, 1: 2.0, 2: 3.0}), results("b", {1: 1.5, 2: 1.0, 5: 9.0})
    paired = compare(first, second, "k6/fde")
    assert (paired["first"], paired["second"], paired["metric"]) == ("a", "b", "k6/fde")
    assert paired["differences"] == {"1": 0.5, "2": 2.0}
    assert compare(first, results("b", {}), "k6/fde")["mean"] is None


@pytest.mark.parametrize(
    ("metrics", "found"),
    [
        ({"k6": {"fde": 1.5}}, 1.5),
        ({"k6": {"fde": 2}}, 2.0),
        ({"k6": {"fde": None}}, None),
        ({"k6": {"fde": float("nan")}}, None),
        ({"k6": {"fde": True}}, None),
        ({"k6": {"fde": "1.5"}}, None),
        ({"k6": {}}, None),
        ({"k6": 3}, None),
        ({}, None),
    ],
)
def test_a_metric_is_found_by_its_path_where_it_is_a_finite_number(metrics: dict, found: float | None) -> None:
    assert lookup(metrics, "k6/fde") == found


def test_a_table_says_what_is_missing_and_is_json() -> None:
    cells = [
        results("x/a", {0: 1.0, 1: 2.0}),
        results("x/b", {0: 2.0}, {1: "out of memory"}),
        results("x/c", {0: float("nan"), 1: 1.0}),
    ]
    table = make_table(cells, {"k6/fde": "min"}, (0, 1))
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert [cell["name"] for cell in table["cells"]] == ["a", "b", "c"]
    assert table["cells"][1]["missing"] == {"1": "out of memory"}
    assert [(p["first"], p["second"]) for p in table["paired"]] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [sorted(p["differences"]) for p in table["paired"]] == [["0"], ["1"], []]
    notes = "\n".join(table["notes"])
    assert "b: no result of seed 1; pairs are over common seeds." in notes
    assert "c: k6/fde of seed 0 is no finite number; left out." in notes
    assert "not corrected for 3 pairs" in notes


def test_a_metric_that_no_evaluation_states_is_not_one_of_the_table() -> None:
    """A run on questions has no recall; one that diverged states what is no number, and the table says so."""
    metrics = {"k6/fde": "min", "recall/image": "max"}
    table = make_table([results("a", {0: 1.0, 1: 2.0}), results("b", {0: None, 1: 3.0})], metrics, [0, 1])
    assert table["metrics"] == {"k6/fde": "min"}
    assert all(list(cell["metrics"]) == ["k6/fde"] for cell in table["cells"])
    assert [note for note in table["notes"] if "no finite number" in note] == [
        "b: k6/fde of seed 0 is no finite number; left out."
    ]
    assert make_table([results("a", {})], metrics, [0])["metrics"] == metrics


def test_one_seed_has_no_interval_and_says_that_it_proves_nothing() -> None:
    table = make_table([results("x/a", {7: 1.0}), results("x/b", {7: 2.0})], {"k6/fde": "min"}, (7,))
    assert table["cells"][0]["metrics"]["k6/fde"]["interval"] is None
    assert (table["paired"][0]["differences"], table["paired"][0]["p_value"]) == ({"7": -1.0}, None)
    assert "a claim from one run is worth nothing" in table["notes"][0]


def test_short_names_leave_out_what_all_cells_share(make_table: Callable[..., dict]) -> None:
    def short(*recipes: str, **over: tuple) -> list[str]:
        return list(short_names(make_table(recipes, over)).values())

    assert short("x/a", dim=(1, 2)) == ["dim=1", "dim=2"]
    assert short("x/a", dim=(1, 2), heads=(3,)) == ["dim=1", "dim=2"]
    assert short("x/a", "x/b", dim=(1, 2)) == ["a, dim=1", "a, dim=2", "b, dim=1", "b, dim=2"]
    assert short("x/a", "x/b") == ["a", "b"]
    assert short("x/a", dim=(1,)) == ["a"]


def test_cells_of_unlike_fields_are_told_apart_by_those_they_have() -> None:
    cells = [("x/a", {}), ("x/b", {"place": "tail"}), ("x/b", {"place": "head"}), ("x/b", {"frozen": False})]
    table = {
        "cells": [{"name": str(i), "recipe": recipe, "settings": of} for i, (recipe, of) in enumerate(cells)],
        "over": {"place": ["tail", "head"], "frozen": [False]},
    }
    assert [*short_names(table).values()] == ["a", "b, place=tail", "b, place=head", "b, frozen=False"]
