from __future__ import annotations

import pytest

from perception.baselines.constant_velocity import constant_velocity
from perception.metrics.forecasting import METRICS, ForecastTable
from perception_tools.forecasting.report.evaluation import choose_examples, choose_worst


@pytest.fixture
def examples(scored):
    table, forecasts = scored
    return choose_examples(table, forecasts.__getitem__)


def focal_errors(table: ForecastTable) -> list[float]:
    rows = table.rows()
    return sorted(rows.k6[rows.focal, METRICS.index("min_fde")])


def test_best_median_and_worst_come_first_and_are_what_they_say(scored, examples):
    errors = focal_errors(scored[0])
    best, median, worst = examples[:3]
    assert [best.label, median.label, worst.label] == ["best", "median", "worst"]
    assert best.scores["min_fde"] == pytest.approx(errors[0])
    assert median.scores["min_fde"] in errors[4:8]
    assert worst.scores["min_fde"] == pytest.approx(errors[-1])


def test_a_parked_agent_is_not_the_best_forecast(examples):
    assert examples[0].manoeuvre != "stationary"


def test_every_manoeuvre_is_shown_and_no_scene_twice(examples):
    assert {example.label for example in examples[3:]} == {"straight", "left turn", "right turn", "stationary"}
    assert all(example.label == example.manoeuvre for example in examples[3:])
    ids = [example.scenario.id for example in examples]
    assert len(ids) == len(set(ids))


def test_scores_of_an_example_are_those_of_its_focal_agent(examples):
    example = examples[2]
    alone = ForecastTable()
    alone.add(example.scenario, example.forecast)
    expected = {name: alone.as_json()["k6"][name] for name in METRICS}
    assert example.scores == pytest.approx(expected)


def test_a_split_of_one_scene_gives_one_example(make_scenario):
    scenario, table = make_scenario(), ForecastTable()
    forecast = constant_velocity(scenario, scenario.agents.scored.nonzero()[0])
    table.add(scenario, forecast)
    assert [e.label for e in choose_examples(table, {scenario.id: (scenario, forecast)}.__getitem__)] == ["best"]


def test_the_worst_forecasts_come_worst_first_and_each_once(scored):
    table, forecasts = scored
    worst = choose_worst(table, forecasts.__getitem__, 5)
    assert [e.scores["min_fde"] for e in worst] == pytest.approx(focal_errors(table)[::-1][:5])
    assert [e.label for e in worst] == [f"worst {place}" for place in range(1, 6)]
    assert len({e.scenario.id for e in worst}) == 5
    assert len(choose_worst(table, forecasts.__getitem__, 1000)) == len(focal_errors(table))
    assert choose_worst(table, forecasts.__getitem__, 0) == []


def test_a_caption_names_scenario_agent_kind_and_manoeuvre(examples):
    example = examples[2]
    agent = example.scenario.agents.ids[example.scenario.focal]
    assert example.caption == f"scenario {example.scenario.id}, agent {agent} · vehicle, {example.manoeuvre}"
