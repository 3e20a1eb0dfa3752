from __future__ import annotations

import numpy as np
import pytest

from perception.baselines.constant_velocity import constant_velocity
from perception.metrics.forecasting import METRICS, ForecastTable
from perception.traffic.scenario import Forecast
from perception_tools.forecasting.agent_records import agent_rows


def test_a_row_holds_what_its_scores_are_made_from(make_scenario) -> None:
    scenario = make_scenario(agents=4)
    scenario.agents.scored[2] = False
    plain = constant_velocity(scenario, np.array([3, 1, 0, 2]))
    trajectories = np.concatenate([plain.trajectories, plain.trajectories + np.array([3.0, 4.0])], axis=1)
    forecast = Forecast(plain.agents, trajectories, np.tile([0.25, 0.75], (4, 1)))
    scored = ForecastTable().add(scenario, forecast)
    assert scored is not None
    rows = list(agent_rows("model", scenario, forecast, scored))
    assert [row["agent"] for row in rows] == [scenario.agents.ids[i] for i in (0, 1, 3)]
    assert [row["focal"] for row in rows] == [True, False, False]
    for row, i in zip(rows, range(3), strict=True):
        assert (row["model"], row["scenario"], row["city"]) == ("model", scenario.id, scenario.city)
        ends, truth = np.asarray(row["end_points"]).reshape(2, 2), np.asarray(row["true_end_point"])
        assert np.asarray(row["probabilities"]).tolist() == [0.25, 0.75]
        errors = np.linalg.norm(ends - truth, axis=1)
        assert row["k6_min_fde"] == pytest.approx(errors.min())
        assert row["k1_min_fde"] == pytest.approx(errors[1])
        assert [row[f"k6_{name}"] for name in METRICS] == scored.k6[i].tolist()
