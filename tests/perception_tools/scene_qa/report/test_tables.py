from __future__ import annotations

import pytest

from perception.metrics.mcnemar import PairedHits
from perception_tools.report.page import Table
from perception_tools.scene_qa.published import PUBLISHED
from perception_tools.scene_qa.report.tables import (
    confusion_table,
    failure_table,
    localization_table,
    p_text,
    paired_table,
    published_table,
    score_table,
    type_tables,
)


def column(table: Table, heading: str) -> dict[str, str]:
    """Row heading → cell text."""
    place = table.headings.index(heading) - 1
    return {name: cells[place].text for name, cells in table.rows}


def test_every_table_has_a_heading_for_each_cell(systems) -> None:
    hits = {"theirs": PairedHits(1, 2, 3, 2, (-0.5, 0.2))}
    tables = [score_table(systems), *type_tables(systems), published_table(systems), paired_table("ours", hits)]
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
    first_token, mcan = type_tables(systems)
    assert column(first_token, "What (1)")["ours"] == "100.00"
    assert column(mcan, "What (2)")["ours"] == "50.00"


def test_published_rows_follow_with_their_standing_and_other_questions_are_no_comparison(systems) -> None:
    rows = published_table(systems[:1]).rows
    assert [name for name, _ in rows] == ["ours", *(row.method for row in PUBLISHED)]
    assert rows[0][1][0].note == "other questions: not comparable"
    for (_, cells), row in zip(rows[1:], PUBLISHED, strict=True):
        assert cells[0].note.startswith("published" if row.checked else "second-hand")
        assert cells[1].text == f"{row.em1:.2f}"


def test_two_systems_are_compared_question_by_question() -> None:
    ((name, cells),) = paired_table("ours", {"theirs": PairedHits(3, 4, 1, 0, (0.125, 0.5))}).rows
    assert (name, [cell.text for cell in cells]) == ("theirs", ["+37.50", "3", "4", "1", "0", "= 0.3750"])
    assert cells[0].note == "[+12.50, +50.00]"


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
    shown = {cells[0].text: (cells[0].note, cells[1].text, cells[2].text) for _, cells in table.rows}
    assert shown["What's that?"] == ("I sit & wait.", "yoga mat", "(no answer)")


def test_a_system_without_mistakes_has_none_to_show(make_system, systems) -> None:
    perfect = make_system("p", {q.id: list(q.answers) for q in systems[0].table.questions})
    assert confusion_table(perfect, "c").rows == failure_table(perfect, "f").rows == []


def test_failures_are_spread_over_the_whole_split(make_system) -> None:
    silent = make_system("s", {})
    assert len(failure_table(silent, "f").rows) == 8
