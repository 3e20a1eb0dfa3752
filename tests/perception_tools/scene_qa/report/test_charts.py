from __future__ import annotations

import copy
from dataclasses import replace

from perception_tools.scene_qa.published import TEST_COUNTS
from perception_tools.scene_qa.report.charts import confusion_chart, confusion_matrix, line_of, type_chart


def test_every_system_and_type_is_named_in_its_colour(systems) -> None:
    svg = type_chart(systems)
    for text in ("ours", "theirs", "majority-per-type", "All (8)", "What (1)", "Other (2)", "75.0"):
        assert f">{text}<" in svg
    assert "published" not in svg
    assert [line_of(i, system) for i, system in enumerate(systems)] == ["line1", "line2", "line0"]
    assert all(f"var(--line{i})" in svg for i in (0, 1, 2))


def test_a_files_name_is_shown_as_it_is(make_system) -> None:
    svg = type_chart([make_system("_run $a^b$ <1>", {})])
    assert ">_run $a^b$ &lt;1&gt;<" in svg


def test_the_published_row_is_drawn_beside_the_published_questions(systems) -> None:
    metrics = copy.deepcopy(systems[0].metrics)
    for name, count in TEST_COUNTS.items():
        metrics["by_type"]["first_token"][name]["questions"] = count
    svg = type_chart([replace(systems[0], metrics=metrics)])
    assert ">published: SQA3D + frozen LLaMA<" in svg
    assert ">48.1<" in svg


def test_the_confusion_matrix_counts_every_question_of_its_rows(systems) -> None:
    shown, counts = confusion_matrix(systems[1])
    assert shown[0] == "yes"  # the only true answer that comes twice
    assert counts.sum() == 8
    assert counts[0, 0] == counts[0, shown.index("no")] == 1
    assert counts[:, -1].sum() == 3  # what was not answered is none of the true answers


def test_the_confusion_chart_shows_the_counts(systems) -> None:
    svg = confusion_chart(systems[0], "c")
    assert ">yes (2)<" in svg
    assert ">given<" in svg
    assert "var(--mode)" in svg
    assert "var(--truth)" in svg


def test_an_answer_is_shown_as_it_is(make_system) -> None:
    system = make_system("s", {})
    asked = tuple(replace(question, answers=("$1 or $2",)) for question in system.table.questions)
    svg = confusion_chart(replace(system, table=replace(system.table, questions=asked)), "c")
    assert ">$1 or $2 (8)<" in svg
    assert ">$1 or $2<" in svg
