from __future__ import annotations

from collections.abc import Callable

import pytest

from perception_tools.analysis.sweep.charts import line_chart, numeric_field, seed_chart

MakeTable = Callable[..., dict]


def test_every_metric_has_a_panel_and_every_cell_a_row(make_table: MakeTable) -> None:
    svg = seed_chart(make_table(("x/a", "x/b"), {"rate": (0.0001, 0.003)}))
    for text in ("k6/min_fde, lower is better", "k6/miss_rate, higher is better", "a, rate=0.0001", "b, rate=0.003"):
        assert f">{text}<" in svg


def test_a_chart_of_one_seed_can_be_drawn(make_table: MakeTable) -> None:
    assert ">dim=8<" in seed_chart(make_table(("x/a",), {"dim": (8, 16)}, (0,)))


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"dim": (8, 16)}, "dim"),
        ({"kind": ("a", "b"), "rate": (0.1, 0.2), "dim": (8, 16)}, "rate"),
        ({"kind": ("a", "b"), "bias": (True, False), "dim": (8,), "limit": (None, 5)}, None),
        ({"block.source": ("m#0", "m#12")}, "block.source"),
        ({"block.source": ("m#0", "n#1")}, None),
        ({"block.source": ("m#0", "m#1,2")}, None),
        ({}, None),
    ],
)
def test_the_numeric_field_is_the_first_with_several_numbers(
    make_table: MakeTable, over: dict, field: str | None
) -> None:
    assert numeric_field(make_table(("x/a",), over)) == field


def test_cells_that_differ_in_the_numeric_field_alone_share_a_line(make_table: MakeTable) -> None:
    svg = line_chart(make_table(("x/a",), {"kind": ("p", "q"), "dim": (16, 8)}), "dim")
    assert all(f">{text}<" in svg for text in ("kind=p", "kind=q", "8", "16", "dim"))
    assert "var(--line1)" in svg
    assert "var(--line2)" in svg
    assert "var(--line3)" not in svg


def test_one_line_needs_no_legend(make_table: MakeTable) -> None:
    svg = line_chart(make_table(("x/a",), {"rate": (1e-4, 1e-2)}), "rate")
    assert ">0.0001<" in svg
    assert ">a<" not in svg


def test_layers_of_a_model_are_a_line_over_the_level_of_cells_without_a_block(make_table: MakeTable) -> None:
    table = make_table(("x/a",), {"block.source": tuple(f"m#{layer}" for layer in (0, 5, 11))})
    bare = make_table(("x/bare",), {})["cells"]
    table["cells"] = bare + table["cells"]
    svg = line_chart(table, "block.source")
    assert all(f">{text}<" in svg for text in ("layer", "0", "5", "11", "bare", "a"))
    assert "stroke-dasharray" in svg
