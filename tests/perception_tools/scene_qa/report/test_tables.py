from __future__ import annotations

import pytest

from perception.metrics.answer_gaming import EasyAnswer
from perception.metrics.answer_matching import RULES
from perception.metrics.mcnemar import PairedHits
from perception_tools.report.page import Table
from perception_tools.scene_qa.comparison import average_seeds
from perception_tools.scene_qa.published import PUBLISHED
from perception_tools.scene_qa.report.tables import (
    confusion_table,
    failure_table,
    group_tables,
    localization_table,
    p_text,
    paired_table,
    published_table,
    recipe_table,
    rule_table,
    scene_table,
    score_table,
    type_tables,
)

EASY = (EasyAnswer("“e”", 0.5, 0.4), EasyAnswer("a list", 0.9, 0.8))


def column(table: Table, heading: str) -> dict[str, str]:
    """Row heading → cell text."""
    place = table.headings.index(heading) - 1
    return {name: cells[place].text for name, cells in table.rows}


def test_every_table_has_a_heading_for_each_cell(systems) -> None:
    hits = {"em1": PairedHits(1, 2, 3, 2, (-0.5, 0.2))}
    tables = [score_table(systems), *(table for of in type_tables(systems).values() for table in of)]
    tables += [published_table(systems), paired_table("ours", "theirs", hits, "p"), rule_table(EASY)]
    tables += [*group_tables(systems), scene_table(systems)]
    tables += [localization_table(systems), confusion_table(systems[0], "c"), failure_table(systems[0], "f")]
    for table in tables:
        assert table.rows
        assert {1 + len(cells) for _, cells in table.rows} == {len(table.headings)}


def test_scores_are_per_cent_with_their_interval_below(systems) -> None:
    table = score_table(systems)
    assert column(table, "EM@1") == {"ours": "75.00", "theirs": "37.50", "majority-per-type": "25.00"}
    low, high = systems[0].metrics["interval"]["em1"]
    assert table.rows[0][1][0].note == f"[{100 * low:.2f}, {100 * high:.2f}]"


def test_types_are_told_by_both_rules(systems) -> None:
    tables = type_tables(systems)
    assert list(tables) == [rule.heading for rule in RULES.values()]
    first_token, mcan = tables["EM@1"]
    assert column(first_token, "What (1)")["ours"] == "100.00"
    assert column(mcan, "What (2)")["ours"] == "50.00"
    assert column(tables["EM@10"][0], "What (1)")["theirs"] == "100.00"
    assert "refined by question type, told by first token" in tables["refined"][0].caption


def test_published_rows_follow_with_their_standing_and_other_questions_are_no_comparison(systems) -> None:
    rows = published_table(systems[:1]).rows
    assert [name for name, _ in rows] == ["ours", *(row.method for row in PUBLISHED)]
    assert rows[0][1][0].note == "other questions: not comparable"
    for (_, cells), row in zip(rows[1:], PUBLISHED, strict=True):
        assert cells[0].note.startswith("published" if row.checked else "second-hand")
        assert cells[1].text == row.rule
        shown = dict(zip(RULES, (cell.text for cell in cells[2:7]), strict=True))
        assert {name: float(text) for name, text in shown.items() if text != "–"} == row.scores


def test_two_systems_are_compared_question_by_question_for_every_score() -> None:
    hits = {"em1": PairedHits(3, 4, 1, 0, (0.125, 0.5)), "situation_refined": PairedHits(0, 9, 0, 0, (0.9, 1.0))}
    (em1, whole) = paired_table("ours", "theirs", hits, "p").rows
    assert (em1[0], [cell.text for cell in em1[1]]) == ("EM@1", ["+37.50", "3", "4", "1", "0", "= 0.3750", "no"])
    assert em1[1][0].note == "[+12.50, +50.00]"
    assert (whole[0], whole[1][-1].text) == ("refined, whole situations", "yes")


def test_rules_are_shown_with_their_users_and_with_what_is_free() -> None:
    rows = dict(rule_table(EASY).rows)
    assert "LEO" in rows["EM@1 cleaned"][1].text
    assert rows["refined"][2].text == "“e”: 50.00 %; a list: 90.00 %"
    assert rows["EM@1"][2].text == "–"


def test_scenes_come_with_the_worst_first_and_groups_by_all_their_questions(systems) -> None:
    table = scene_table(systems[1:])
    assert [name for name, _ in table.rows] == ["scene1", "scene0"]
    assert column(table, "theirs") == {"scene1": "25.00", "scene0": "50.00"}
    (table,) = group_tables(systems)
    assert "2 situations" in table.caption
    assert column(table, "EM@1")["ours"] == "0.00"


def test_runs_of_a_recipe_are_averaged(make_system, systems) -> None:
    runs = [
        make_system(name, {q.id: [q.answers[0]] for q in systems[0].table.questions[:right]}, recipe=recipe)
        for name, right, recipe in (("a1", 2, "a"), ("a2", 6, "a"), ("b1", 3, "b"))
    ]
    first, second = recipe_table(average_seeds(runs)).rows
    assert (first[0], first[1][0].text, first[1][0].note) == ("a", "2", "a1, a2")
    assert first[1][1].text == "50.00 ± 35.36"
    assert (second[0], second[1][1].text) == ("b", "37.50")
    assert second[1][1].note.startswith("+12.50 [")


@pytest.mark.parametrize(("p_value", "text"), [(0.03125, "= 0.0312"), (1.0, "= 1.0000"), (1e-9, "< 0.0001")])
def test_a_p_value_is_written_without_false_precision(p_value: float, text: str) -> None:
    assert p_text(p_value) == text


def test_places_are_shown_only_where_somebody_guessed_them(systems) -> None:
    table = localization_table(systems)
    assert table is not None
    assert column(table, "within 30°") == {"theirs": "62.50"}
    assert localization_table(systems[:1]) is None


def test_wrong_answers_are_counted_and_shown_with_their_questions(systems) -> None:
    assert column(confusion_table(systems[0], "c"), "given answer") == {"yoga mat": "no", "no": "yes"}
    table = failure_table(systems[1], "f")
    assert "5 wrong answers" in table.caption
    shown = {number: (cells[0].text, cells[1].note, cells[2].text, cells[3].text) for number, cells in table.rows}
    assert shown["6"] == ("scene0", "I sit & wait.", "yoga mat", "(no answer)")


def test_a_system_without_mistakes_has_none_to_show(make_system, systems) -> None:
    perfect = make_system("p", {q.id: list(q.answers) for q in systems[0].table.questions})
    assert confusion_table(perfect, "c").rows == failure_table(perfect, "f").rows == []


def test_failures_are_spread_over_the_whole_split(make_system) -> None:
    silent = make_system("s", {})
    assert len(failure_table(silent, "f").rows) == 8
