from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_nodes.forecasting.answer import Source
from perception_tools.forecasting.streaming.baseline import COLUMNS, Baseline, read_baseline
from perception_tools.forecasting.streaming.baseline_comparison import Bounds, compare_baselines

BOUNDS = Bounds(max_position_m=0.05, max_probability=0.01, max_refusals=0)


@pytest.fixture(scope="module")
def then() -> Baseline:
    return read_baseline(Path(__file__).with_name("golden_replay.json"))


def changed(then: Baseline, row: int, **columns: int) -> Baseline:
    objects = then.objects.copy()
    for name, value in columns.items():
        objects[row, COLUMNS.index(name)] += value
    return replace(then, objects=objects)


def row_by(then: Baseline, source: Source) -> int:
    return int(np.flatnonzero(then.objects[:, COLUMNS.index("source")] == source)[-1])


def test_a_replay_is_as_itself(then: Baseline) -> None:
    comparison = compare_baselines(then, then)
    assert comparison.complaints(Bounds(0.0, 0.0, 0, 1.0)) == []
    assert comparison.objects == len(then.objects)
    summary = comparison.summary()
    assert [summary[name] for name in ("max_position_m", "max_probability", "refused", "gained", "changed")] == [0] * 5


@pytest.mark.parametrize("columns", [{"x_1": 48, "y_1": 36}, {"y_3": -60}, {"spread_3": 60}])
def test_a_position_or_a_spread_that_moved_by_6_cm_is_found_with_its_object_and_time(
    then: Baseline, columns: dict[str, int]
) -> None:
    row = row_by(then, Source.MODEL)
    comparison = compare_baselines(then, changed(then, row, **columns))
    (complaint,) = comparison.complaints(BOUNDS)
    track = then.tracks[then.objects[row, 0]]
    assert complaint == f"positions differ by up to 0.06 m (at 2.3 s, {track}), allowed are 0.05 m"
    assert comparison.complaints(replace(BOUNDS, max_position_m=0.07)) == []


def test_a_probability_that_changed_is_found(then: Baseline) -> None:
    comparison = compare_baselines(then, changed(then, row_by(then, Source.MODEL), probability=-200))
    assert comparison.complaints(BOUNDS) == ["probabilities differ by up to 0.02 (at 2.3 s), allowed are 0.01"]


def test_a_forecast_that_the_model_no_longer_gives_is_a_refusal_and_the_other_way_round_is_not(then: Baseline) -> None:
    refused = changed(then, row_by(then, Source.MODEL), source=Source.AT_REST, reason=2)
    comparison = compare_baselines(then, refused)
    assert comparison.complaints(BOUNDS) == ["the model no longer forecasts 1 objects (first at 2.3 s), allowed are 0"]
    assert comparison.complaints(replace(BOUNDS, max_refusals=1)) == []
    back = compare_baselines(refused, then)
    assert back.complaints(BOUNDS) == []
    assert (back.gained.sum(), back.refused.sum(), back.changed.sum()) == (1, 0, 1)


def test_a_tick_without_an_answer_refuses_all_of_its_objects(then: Baseline) -> None:
    counts, last = then.counts.copy(), int(then.counts[-1])
    counts[-1] = 0
    silent = replace(then, counts=counts, objects=then.objects[:-last])
    by_model = int((then.objects[-last:, COLUMNS.index("source")] == Source.MODEL).sum())
    comparison = compare_baselines(then, silent)
    assert (comparison.refused[-1], comparison.changed[-1]) == (by_model, last)
    assert by_model > 0


def test_another_reason_or_source_without_the_model_is_reported_only(then: Baseline) -> None:
    comparison = compare_baselines(then, changed(then, row_by(then, Source.AT_REST), reason=1))
    assert comparison.complaints(BOUNDS) == []
    assert comparison.changed.sum() == 1


def test_latency_fails_only_where_a_bound_is_given(then: Baseline) -> None:
    slow = replace(then, latency_p50_ms=3 * then.latency_p50_ms)
    comparison = compare_baselines(then, slow)
    assert comparison.complaints(BOUNDS) == []
    (complaint,) = comparison.complaints(replace(BOUNDS, max_latency_ratio=2.0))
    assert complaint.endswith("3.00 times that of the baseline, allowed are 2 times")


def test_another_model_is_said_and_another_log_or_other_ticks_cannot_be_compared(then: Baseline) -> None:
    other = compare_baselines(then, replace(then, model="m@2:int8"))
    assert other.complaints(BOUNDS) == [f"the baseline is of the model {then.model}, this is m@2:int8"]
    with pytest.raises(InputError, match="expected one of the log log7, found one of golden"):
        compare_baselines(then, replace(then, log="log7"))
    with pytest.raises(InputError, match="expected the 24 ticks of this replay, found 24 others"):
        compare_baselines(then, replace(then, stamps_ns=then.stamps_ns + 1))
