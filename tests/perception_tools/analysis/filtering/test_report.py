from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perception_tools.analysis.filtering.measure import Measured, claims_json, filtering_json, measure
from perception_tools.analysis.filtering.report import claim_table, findings, score_table, write_filtering_page
from perception_tools.analysis.filtering.views import TokenView, TokenViews

MakeView = Callable[..., TokenView]
NAMES = ("x/llama", "x/plain")


def analysed(make_view: MakeView, **changes: object) -> tuple[Measured, dict]:
    records = [
        (make_view(f"<r{s}>", seed=s, **changes), make_view(f"<r{s}>", seed=s, plain=True, **changes)) for s in range(4)
    ]
    found = measure(TokenViews("records", records), NAMES, 2)
    first, second = (filtering_json(found, model) for model in range(2))
    about = {"name": NAMES[0], "others": {NAMES[1]: second}, "claims": claims_json(found), "noun": "records"}
    about |= {"records": 4, "left_out": {"they have no mask": 3}, "failures": {"bad": "it cannot be parsed"}}
    about |= {"data": "data", "masks": "masks", "split": "val", "inside": "sum"}
    return found, first | about


def test_the_page_is_self_contained_and_holds_pictures_charts_tables_and_rules(
    make_view: MakeView, tmp_path: Path
) -> None:
    found, numbers = analysed(make_view)
    write_filtering_page(tmp_path / "page.html", numbers, found, ("A rule of <the> task.",))
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "What x/llama, x/plain single out" in html
    assert "&lt;r0&gt;" in html
    assert "<r0>" not in html
    assert "A rule of &lt;the&gt; task." in html
    assert "3 not measured: they have no mask" in html
    assert "bad: it cannot be parsed" in html
    assert "the residual stream behind that part" in html
    for part in ("agreement", "thresholds", "claims", "miou", "fixed"):
        assert f'id="{part}"' in html
    assert html.count("<svg") == 1 + 2 + 2
    assert 'src="' not in html
    assert "http" not in html.replace("http://www.w3.org", "")


def test_without_targets_the_page_has_pictures_and_says_that_nothing_was_measured(
    make_view: MakeView, tmp_path: Path
) -> None:
    found, numbers = analysed(make_view, target=None)
    write_filtering_page(tmp_path / "page.html", numbers, found, ())
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "None of them has a target" in html
    assert 'id="agreement"' not in html
    assert html.count("<svg") == 1 + 2


def test_findings_compare_with_what_knows_nothing_of_the_records(make_view: MakeView) -> None:
    _, numbers = analysed(make_view)
    first, second = findings(numbers)
    # The first tokens are the target: a prior that names them cannot be beaten.
    assert "x/llama: the best agreement is 1.000 mIoU (project_out" in first
    assert "not above the best of what knows nothing of the records (the first: 1.000)" in first
    assert second.startswith("x/plain: the best agreement is 0.")
    numbers["baselines"]["the first"]["miou"] = 0.9
    assert ", above the best of" in findings(numbers)[0]


@pytest.mark.parametrize("which", ["miou", "fixed"])
def test_the_table_has_every_place_and_dashes_where_a_model_has_none(make_view: MakeView, which: str) -> None:
    _, numbers = analysed(make_view)
    table = score_table({NAMES[0]: numbers} | numbers["others"], which)
    rows = {heading: [cell.text for cell in cells] for heading, cells in table.rows}
    assert rows["project_out, magnitude"] == ["1.000", "–"]
    assert rows["knows nothing: everything"] == ["0.333", "0.333"]
    best = [heading for heading, cells in table.rows if cells[0].best]
    assert best
    assert all("project_out" in heading for heading in best)


def test_a_claim_holds_only_where_the_interval_says_so(make_view: MakeView) -> None:
    _, numbers = analysed(make_view)
    numbers["claims"] = [
        {"claim": "a", "difference": 0.2, "interval": [0.1, 0.3]},
        {"claim": "b", "difference": 0.0, "interval": [-0.1, 0.1]},
        {"claim": "c", "difference": -0.2, "interval": [-0.3, -0.1]},
    ]
    verdicts = [cells[1].text for _, cells in claim_table(numbers).rows]
    assert verdicts == ["yes", "cannot be told", "no, the other way round"]
