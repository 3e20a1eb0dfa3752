from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from perception_tools.report import page
from perception_tools.report.page import Cell, Table, write_page

TEMPLATE = """{% extends "page.html" %}{% from "tables.html" import show %}
{% block title %}{{ title }}{% endblock %}{% block content %}{{ show(table) }}{% endblock %}"""

REPORT = jinja2.PackageLoader("perception_tools.report")
TABLE = Table("t", "A caption", ("row", "value"), [("first", [Cell("1 < 2", "small & print", best=True)])])


@pytest.fixture(autouse=True)
def templates(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more template beside the package's own."""
    loaders = {"probe": jinja2.DictLoader({"probe.html": TEMPLATE}), "perception_tools.report": REPORT}
    monkeypatch.setattr(page.jinja2, "PackageLoader", loaders.__getitem__)


def test_a_page_holds_title_table_both_colour_sets_and_the_machine(tmp_path: Path) -> None:
    write_page(tmp_path / "new" / "probe.html", "probe:probe.html", title="A & B", table=TABLE)
    html = (tmp_path / "new" / "probe.html").read_text(encoding="utf-8")
    assert "<title>A &amp; B</title>" in html
    assert '<td class="best">1 &lt; 2<small>small &amp; print</small></td>' in html
    assert html.count("--ink:") == 2
    assert "<dt>processor</dt>" in html


def test_an_earlier_page_survives_a_failure_and_no_piece_is_left(tmp_path: Path) -> None:
    write_page(tmp_path / "probe.html", "probe:probe.html", title="first", table=TABLE)
    with pytest.raises(jinja2.UndefinedError):
        write_page(tmp_path / "probe.html", "probe:probe.html", table=TABLE)
    assert "first" in (tmp_path / "probe.html").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["probe.html"]
