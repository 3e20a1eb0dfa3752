from __future__ import annotations

import re
from pathlib import Path

import pytest

from perception.metrics.mcnemar import PairedHits
from perception_tools.scene_qa.report.writer import findings, write_scene_qa_report

PAIRED = {"theirs": PairedHits(both=3, first_only=3, second_only=0, neither=2, interval=(-0.125, 0.75))}


@pytest.fixture(scope="module")
def html(systems, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report on two systems; tests only read it."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_scene_qa_report(path, systems, PAIRED, data_name="eight questions", notes=["mind <this>"])
    return path.read_text(encoding="utf-8")


def test_every_promised_section_is_there_once_and_ids_are_unique(html: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', html)
    for section in "headline by-type all-scores told-apart places elsewhere confusion failures machine".split():
        assert ids.count(section) == 1
    assert len(ids) == len(set(ids))


def test_the_page_asks_nothing_of_the_network(html: str) -> None:
    assert not re.search(r"<(script|link|iframe|img|object)\b", html)
    assert "@import" not in html
    assert set(re.findall(r'\b(?:xlink:)?href="(.)', html)) <= {"#"}
    assert set(re.findall(r"url\((.)", html)) <= {"#"}


def test_names_numbers_and_notes_are_shown_as_text(html: str) -> None:
    assert "<title>ours, theirs on eight questions</title>" in html
    assert "mind &lt;this&gt;" in html
    assert "I sit &amp; wait." in html
    assert html.count('class="tile"') == 2
    assert "no true answer of 1 question" in html
    assert "87.50 % at most" in html


def test_sections_without_content_are_left_out(make_system, tmp_path: Path) -> None:
    truths = {q.id: list(q.answers) for q in make_system("x", {}).table.questions}
    oracle = make_system("majority", {}, is_oracle=True)
    write_scene_qa_report(tmp_path / "r.html", [make_system("x", truths), oracle], {}, data_name="d", notes=[])
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    for section in ("told-apart", "places", "wrong-0", "confused-0"):
        assert f'id="{section}"' not in html
    assert "There are none." in html


def test_the_headline_says_what_a_guess_reaches_and_whether_the_questions_can_tell(systems) -> None:
    first, guess, compared = findings(systems, PAIRED)
    assert first.startswith("ours answers 75.00\u00a0% of 8 questions")
    assert "majority-per-type, would reach 25.00\u00a0% at most" in guess
    assert "+37.50 points EM@1" in compared
    assert "over scenes -12.50 to +75.00" in compared
    assert "exact p = 0.2500. These questions do not tell the two apart" in compared
    clear = findings(systems, {"theirs": PairedHits(0, 8, 0, 0, (0.5, 1.0))})[-1]
    assert "exact p = 0.0078. These questions tell the two apart" in clear


def test_an_oracle_is_not_compared_with_itself(systems) -> None:
    assert len(findings(systems[::-1], {})) == 1
