from __future__ import annotations

import re
from pathlib import Path

import pytest

from perception.metrics.answer_gaming import EasyAnswer
from perception.metrics.answer_matching import RULES
from perception.metrics.mcnemar import PairedHits
from perception_tools.scene_qa.comparison import average_seeds
from perception_tools.scene_qa.report.evaluation import BlindFilter
from perception_tools.scene_qa.report.writer import findings, write_scene_qa_report

HITS = PairedHits(both=3, first_only=3, second_only=0, neither=2, interval=(-0.125, 0.75))
PAIRED = {"theirs": dict.fromkeys(RULES, HITS)}
EASY = (EasyAnswer("“e”", 0.5, 0.4), EasyAnswer("a list", 0.9, 0.8))


@pytest.fixture(scope="module")
def html(systems, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report on two systems; tests only read it."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_scene_qa_report(path, systems, PAIRED, data_name="eight questions", notes=["mind <this>"], easy=EASY)
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
    write_scene_qa_report(
        tmp_path / "r.html", [make_system("x", truths), oracle], {}, data_name="d", notes=[], easy=EASY
    )
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    for section in ("told-apart", "places", "wrong-0", "confused-0", "seeds", "beyond-blind"):
        assert f'id="{section}"' not in html
    assert "There are none." in html


def test_the_headline_says_what_a_guess_reaches_and_whether_the_questions_can_tell(systems) -> None:
    first, guess, compared = findings(systems, PAIRED)
    assert first.startswith("ours answers 75.00\u00a0% of 8 questions")
    assert "majority-per-type, would reach 25.00\u00a0% at most" in guess
    assert "+37.50 points EM@1" in compared
    assert "over scenes -12.50 to +75.00" in compared
    assert "exact p = 0.2500. These questions do not tell the two apart" in compared
    assert "every other rule says the same" in compared
    clear = dict.fromkeys(RULES, PairedHits(0, 8, 0, 0, (0.5, 1.0))) | {"lenient": HITS}
    compared = findings(systems, {"theirs": clear})[-1]
    assert "exact p = 0.0078. These questions tell the two apart" in compared
    assert "the verdict by lenient is another one" in compared
    reversed_by_refined = clear | {"lenient": clear["em1"], "refined": PairedHits(0, 0, 8, 0, (-1.0, -0.5))}
    assert "the verdict by refined is another one" in findings(systems, {"theirs": reversed_by_refined})[-1]


def test_the_headline_quotes_the_mean_over_seeds_and_not_the_best_run(make_system, systems) -> None:
    answers = {q.id: [q.answers[0]] for q in systems[0].table.questions}
    runs = [
        make_system(name, {number: answers[number] for number in range(right)}, recipe=recipe)
        for name, right, recipe in (("a1", 2, "a"), ("a2", 6, "a"), ("b1", 3, "b"))
    ]
    text = "\n".join(findings([*runs, systems[2]], {}, average_seeds(runs)))
    assert "a: 50.00\u00a0% EM@1 on average over 2 runs (25.00 to 75.00). Quote the mean" in text
    assert "a against b, means over runs: +12.50 points EM@1" in text
    assert "does not tell the recipes apart" in text


def test_a_blind_system_and_seeds_have_sections_of_their_own(make_system, systems, tmp_path: Path) -> None:
    runs = [make_system(name, {0: ["chair"]}, recipe="r") for name in ("r1", "r2")]
    blind = BlindFilter(("r1",), {"r1": systems[0].metrics, "r2": systems[1].metrics}, {"r2": {"em1": HITS}})
    more = {"easy": EASY, "recipes": average_seeds(runs), "blind": blind}
    write_scene_qa_report(tmp_path / "r.html", [*runs, systems[2]], {}, data_name="d", notes=[], **more)
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "The 8 questions that r1 does not answer" in html
    for section in ("seeds", "recipes", "beyond-blind", "beyond-blind-scores", "beyond-blind-0"):
        assert html.count(f'id="{section}"') == 1


def test_an_oracle_is_not_compared_with_itself(systems) -> None:
    assert len(findings(systems[::-1], {})) == 1
