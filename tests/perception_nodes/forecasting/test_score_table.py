import json

import numpy as np
import pytest

from perception.traffic.scenario import AgentKind
from perception_nodes.forecasting.answer import Source
from perception_nodes.forecasting.score_table import LEAST_SCORED, SCORES, ScoreTable, group_of
from perception_nodes.operations.diagnostics import Level

CARS = group_of(np.full(50, Source.MODEL), np.full(50, AgentKind.VEHICLE))


def test_a_kind_that_does_not_exist_counts_as_unknown() -> None:
    groups = group_of(np.array([0, 0, 3]), np.array([AgentKind.UNKNOWN, 77, AgentKind.BUS]))
    assert groups[0] == groups[1]
    assert len(set(groups.tolist())) == 2


def test_nothing_is_said_where_nothing_was_compared_and_the_summary_is_json() -> None:
    table = ScoreTable()
    assert json.loads(json.dumps(table.summary()))["all"]["3s"] == {"objects": 0, "unscored": 0}
    assert {status.message for status in table.statuses()} == {"nothing compared yet"}
    assert not [s for family in table.collect() for s in family.samples]


def test_probabilities_that_are_kept_have_no_calibration_error_and_broken_promises_do() -> None:
    """Of 50 objects whose likeliest mode has 80 %, it is the nearest for 40."""
    probabilities = np.tile([0.8, 0.2], (50, 1))
    kept, broken = ScoreTable(), ScoreTable()
    kept.add_probabilities(CARS, probabilities, np.arange(50) // 40)
    broken.add_probabilities(CARS, probabilities, np.ones(50, np.int64))
    kept.add_scores(2, CARS, np.ones((50, len(SCORES))))
    broken.add_scores(2, CARS, np.ones((50, len(SCORES))))
    good, bad = (table.summary()["by_source"]["model"] for table in (kept, broken))
    assert good["most_likely_is_nearest"]["expected"] == pytest.approx(0.8)
    assert good["most_likely_is_nearest"]["observed"] == pytest.approx(0.8)
    assert good["most_likely_is_nearest"]["brier"] == pytest.approx(0.8 * 0.08 + 0.2 * 1.28)
    assert good["calibration"]["error"] == pytest.approx(0, abs=1e-12)
    assert bad["most_likely_is_nearest"]["observed"] == 0
    assert bad["calibration"]["error"] == pytest.approx(0.8)
    assert [b["modes"] for b in bad["calibration"]["bins"]] == [50, 50]


def recent(miss: float, unscored: int) -> ScoreTable:
    table = ScoreTable("ego")
    for _ in range(LEAST_SCORED // 50 + 1):
        table.add_scores(2, CARS, np.full((50, len(SCORES)), miss))
        table.add_unscored(2, CARS[:unscored])
    return table


def test_a_model_that_misses_most_objects_is_a_warning_and_so_is_a_truth_that_never_comes() -> None:
    fine, missing, blind = recent(0.1, 5), recent(0.9, 5), ScoreTable("ego")
    for _ in range(3):
        blind.add_unscored(2, CARS)
    assert [t.statuses()[0].level for t in (fine, missing, blind)] == [Level.OK, Level.WARN, Level.WARN]
    assert fine.statuses()[0].name == "ego: accuracy, model"
    assert missing.statuses()[0].message == "90% of the objects are missed by 2 m after 3 s"
    assert blind.statuses()[0].message == "no truth for 100% of the objects after 3 s"


def test_diagnostics_forget_and_the_summary_does_not() -> None:
    table = recent(0.9, 0)
    table.observed(10**9)
    table.observed(10**9 + 600 * 10**9)
    assert table.statuses()[0].message == "nothing compared yet"
    assert table.summary()["all"]["3s"]["objects"] == 150
    table.observed(5)  # a clock that was set back
    assert table.summary()["all"]["3s"]["objects"] == 150


def test_prometheus_gets_sums_whose_rates_divide_to_means() -> None:
    table = recent(0.5, 10)
    samples = {s.name: s.value for family in table.collect() for s in family.samples}
    assert samples["perception_self_score_objects_total"] == 150
    assert samples["perception_self_score_unscored_total"] == 30
    assert samples["perception_self_score_misses_total"] == 75
    assert samples["perception_self_score_recent_miss_ratio"] == pytest.approx(0.5)
