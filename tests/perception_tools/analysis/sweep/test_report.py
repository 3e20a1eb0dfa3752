from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perception_tools.analysis.sweep.report import findings, mean_table, pair_table, value_table, write_sweep_page

MakeTable = Callable[..., dict]
OVER = {"dim": (8, 16), "kind": ("p", "q")}


def test_the_page_holds_cells_plots_pairs_failures_and_notes(make_table: MakeTable, tmp_path: Path) -> None:
    table = make_table(("x/a",), OVER)
    write_sweep_page(tmp_path / "report.html", table)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h1>Sweep of x/a over dim, kind</h1>" in html
    assert "dim=8, kind=q, seed 2" in html
    assert "RuntimeError: out of memory" in html
    assert 'id="lines"' in html
    assert 'id="pairs-k6-min_fde"' in html
    assert 'src="' not in html
    assert "http" not in html.replace("http://www.w3.org", "")
    assert all(note.replace("'", "&#39;") in html for note in table["notes"])
    assert "evaluated on the split val of data (argoverse1)." in html
    assert "SYNTHETIC" not in html


def test_a_page_of_made_data_says_so_and_one_cell_needs_no_pairs(make_table: MakeTable, tmp_path: Path) -> None:
    write_sweep_page(tmp_path / "report.html", make_table(("x/a",), {}) | {"source": "synthetic"})
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "SYNTHETIC DATA" in html
    assert 'id="pairs"' not in html
    assert 'id="lines"' not in html


def test_the_best_cell_is_named_with_what_it_differs_from(make_table: MakeTable) -> None:
    first, second = findings(make_table(("x/a",), OVER))
    assert first.startswith("dim=16, kind=q has the lowest mean k6/min_fde, 1.")
    assert first.endswith("over 3 seeds.")
    assert second == "Paired by seed, it differs from every other cell at 5 %, uncorrected for the number of pairs."


def test_cells_that_seeds_cannot_tell_apart_are_not_told_apart(make_table: MakeTable) -> None:
    table = make_table(("x/a",), OVER)
    for pair in table["paired"]:
        pair["p_value"] = 0.4
    assert findings(table)[1] == "Paired by seed, it cannot be told from any other cell at 5 %."


def test_one_seed_or_none_claims_little(make_table: MakeTable) -> None:
    (sentence,) = findings(make_table(("x/a", "x/b"), {}, (0,)))
    assert sentence.startswith("b has the lowest k6/min_fde, 1.")
    assert sentence.endswith(", with one seed only.")
    empty = make_table(("x/a",), {}, ())
    assert findings(empty) == ["No run has finished."]
    assert mean_table(empty).rows[0][1][1].text == "–"


def test_the_best_mean_of_each_column_is_marked_by_the_metrics_direction(make_table: MakeTable) -> None:
    rows = dict(mean_table(make_table(("x/a",), {"dim": (8, 16, 32)})).rows)
    assert [rows[name][1].best for name in ("dim=8", "dim=16", "dim=32")] == [False, False, True]
    assert [rows[name][2].best for name in ("dim=8", "dim=16", "dim=32")] == [True, False, False]
    assert rows["dim=16"][0].text == "2", "one seed is missing"


def test_a_missing_value_is_a_dash(make_table: MakeTable) -> None:
    rows = dict(value_table(make_table(("x/a",), {"dim": (8, 16)}), "k6/min_fde").rows)
    assert rows["dim=16"][2].text == "–"
    assert float(rows["dim=8"][2].text) == pytest.approx(2.0, abs=0.1)


def test_of_many_pairs_the_page_shows_those_with_the_first_cell(make_table: MakeTable) -> None:
    few, many = (make_table(("x/a",), {"dim": tuple(range(1, n + 1))}) for n in (4, 8))
    assert len(pair_table(few, "k6/min_fde").rows) == 6
    shown = pair_table(many, "k6/min_fde")
    assert [name for name, _ in shown.rows] == [f"dim=1 − dim={n}" for n in range(2, 9)]
    assert "table.json holds all" in shown.caption
