from __future__ import annotations

import copy

import pytest

from perception_tools.forecasting.published import AV1_MINI, PUBLISHED
from perception_tools.forecasting.report.evaluation import BlockProvenance
from perception_tools.forecasting.report.tables import (
    cost_table,
    count_table,
    group_tables,
    published_table,
    score_tables,
    view_table,
)


def better(evaluation, by: float):
    """The metrics of an evaluation with a smaller focal minFDE."""
    metrics = copy.deepcopy(evaluation.metrics)
    metrics["k6"]["min_fde"] -= by
    return metrics


def column(table, heading: str) -> dict[str, str]:
    index = table.headings.index(heading) - 1
    return {name: cells[index].text for name, cells in table.rows}


def test_the_lowest_number_of_a_column_is_marked(make_evaluation):
    plain = make_evaluation("plain")
    table = score_tables([plain, make_evaluation("better", metrics=better(plain, 0.1))])[0]
    index = table.headings.index("minFDE") - 1
    assert [cells[index].best for _, cells in table.rows] == [False, True]


def test_a_lone_model_is_not_marked_best(make_evaluation):
    assert not any(
        cell.best for table in score_tables([make_evaluation()]) for _, cells in table.rows for cell in cells
    )


def test_focal_scores_carry_their_interval_and_the_seed(make_evaluation):
    evaluation = make_evaluation()
    _, cells = score_tables([evaluation])[0].rows[0]
    low, high = evaluation.metrics["interval"]["k6"]["min_ade_endpoint"]
    assert cells[0].text == "7"
    assert cells[1].note == f"[{low:.3f}, {high:.3f}]"


def test_manoeuvres_and_kinds_stand_side_by_side_for_all_models(make_evaluation):
    first, second = make_evaluation("a"), make_evaluation("b")
    by_manoeuvre, by_kind, *_, worlds = group_tables([first, second])
    expected = first.metrics["worlds"]["avg_min_fde"]
    assert column(worlds, "avgMinFDE")["a"] == f"{expected:.3f}"
    group = first.metrics["by_manoeuvre"]["left turn"]
    assert column(by_manoeuvre, "agents")["left turn"] == str(group["agents"])
    assert column(by_manoeuvre, "b: minFDE")["left turn"] == f"{group['k6']['min_fde']:.3f}"
    assert column(by_kind, "a: miss rate") == {
        "vehicle": f"{first.metrics['by_kind']['vehicle']['k6']['miss_rate']:.3f}"
    }


def test_a_group_that_a_model_was_not_scored_on_stays_empty(make_evaluation):
    metrics = copy.deepcopy(make_evaluation().metrics)
    del metrics["by_manoeuvre"]["straight"]
    table = group_tables([make_evaluation("a"), make_evaluation("b", metrics=metrics)])[0]
    assert column(table, "a: minFDE")["straight"] != "–"
    assert column(table, "b: minFDE")["straight"] == "–"


def test_published_rows_are_comparable_only_on_the_same_scenes():
    for name, comparable in ((AV1_MINI, {AV1_MINI}), ("my own data", set())):
        rows = published_table(name).rows
        assert len(rows) == len(PUBLISHED)
        same = {cells[0].text for _, cells in rows if cells[0].note == "same scenes as this report"}
        other = {cells[0].text for _, cells in rows if cells[0].note == "not comparable: other data"}
        assert same == comparable
        assert other == {row.data for row in PUBLISHED} - comparable


def test_cost_names_parameters_time_and_block(make_evaluation):
    block = BlockProvenance("random:seed=0", "abc123", "seeded random weights")
    table = cost_table([make_evaluation("llama", block=block, parameters=(5, 3_540_000)), make_evaluation("plain")])
    assert column(table, "frozen parameters") == {"llama": "3,540,000", "plain": "0"}
    assert column(table, "ms a scene")["plain"] == "6.1"
    assert column(table, "frozen block") == {"llama": "seeded random weights", "plain": "none"}
    assert table.rows[0][1][-1].note == "random:seed=0, abc123"


def test_views_are_compared_only_where_trained_models_differ_in_view(make_evaluation):
    agent, scene = make_evaluation("a", view="agent"), make_evaluation("b", view="scene")
    untrained = make_evaluation("constant velocity", view="scene", parameters=(0, 0))
    assert view_table([agent, untrained]) is None
    table = view_table([scene, agent])
    assert table is not None
    assert [name for name, _ in table.rows] == ["agent", "scene"]


@pytest.mark.parametrize("key", ["scenarios", "agents", "incomplete", "incomplete_focal"])
def test_what_was_not_scored_is_counted(make_evaluation, key):
    metrics = copy.deepcopy(make_evaluation().metrics)
    metrics[key] = 12_345
    assert "12,345" in [cell.text for cell in count_table([make_evaluation(metrics=metrics)]).rows[0][1]]
