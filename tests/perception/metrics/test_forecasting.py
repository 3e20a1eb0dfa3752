from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.baselines.constant_velocity import constant_velocity
from perception.errors import InputError
from perception.metrics.forecasting import METRICS, ForecastTable, score_forecast
from perception.metrics.worlds import mean_scores, score_worlds, worlds_of
from perception.traffic.scenario import AgentKind, Forecast


def random_forecast(seed: int, agents: int = 3, modes: int = 6, steps: int = 7):
    generator = np.random.default_rng(seed)
    trajectories = generator.normal(scale=3.0, size=(agents, modes, steps, 2)).cumsum(axis=2)
    probabilities = generator.dirichlet(np.ones(modes), size=agents)
    truth = generator.normal(scale=3.0, size=(agents, steps, 2)).cumsum(axis=1)
    return trajectories, probabilities, truth


def straight_modes(*endpoint_errors: float) -> np.ndarray:
    """One agent, two steps; each mode is off by half of its error at step one and by all of it at step two."""
    return np.array([[[[0.0, error / 2], [0.0, error]] for error in endpoint_errors]])


ORIGIN = np.zeros((1, 2, 2))


@given(
    seed=st.integers(0, 2**32 - 1),
    agents=st.integers(1, 4),
    modes=st.integers(1, 9),
    steps=st.integers(1, 60),
    k=st.sampled_from([1, 2, 6]),
)
@settings(max_examples=60, deadline=None)
def test_scores_are_bit_equal_to_av2(seed, agents, modes, steps, k):
    av2 = pytest.importorskip("av2.datasets.motion_forecasting.eval.metrics")
    trajectories, probabilities, truth = random_forecast(seed, agents, modes, steps)
    scores = score_forecast(trajectories, probabilities, truth, k)
    for a in range(agents):
        kept = sorted(range(modes), key=lambda mode, a=a: -probabilities[a, mode])[:k]
        candidates, p = trajectories[a, kept], probabilities[a, kept]
        ade, fde = av2.compute_ade(candidates, truth[a]), av2.compute_fde(candidates, truth[a])
        best = int(np.argmin(fde))
        assert scores.min_ade[a] == ade.min()
        assert scores.min_ade_endpoint[a] == ade[best]
        assert scores.min_fde[a] == fde[best]
        assert scores.miss[a] == av2.compute_is_missed_prediction(candidates, truth[a])[best]
        assert scores.brier_min_fde[a] == av2.compute_brier_fde(candidates, truth[a], p, normalize=True)[best]
        penalty = min(-np.log(p[best] / p.sum()), -np.log(0.05))
        assert scores.p_min_ade[a] == pytest.approx(ade[best] + penalty, abs=1e-12)
        assert scores.p_min_fde[a] == pytest.approx(fde[best] + penalty, abs=1e-12)


def test_scores_of_one_agent_by_hand():
    scores = score_forecast(straight_modes(4.0, 1.0), np.array([[0.75, 0.25]]), ORIGIN, k=6)
    assert scores.min_fde[0] == 1.0
    assert scores.min_ade_endpoint[0] == scores.min_ade[0] == 0.75
    assert not scores.miss[0]
    assert scores.brier_min_fde[0] == 1.0 + 0.75**2
    assert scores.p_min_fde[0] == pytest.approx(1.0 + np.log(4.0))
    assert scores.p_min_ade[0] == pytest.approx(0.75 + np.log(4.0))


def test_the_two_min_ade_rules_differ_if_the_best_endpoint_has_the_larger_ade():
    detour_to_a_good_end = [[0.0, 10.0], [0.0, 0.5]]
    close_all_along = [[0.0, 0.0], [0.0, 1.0]]
    scores = score_forecast(np.array([[detour_to_a_good_end, close_all_along]]), np.array([[0.5, 0.5]]), ORIGIN, k=6)
    assert scores.min_ade[0] == 0.5
    assert scores.min_ade_endpoint[0] == 5.25
    assert scores.min_fde[0] == 0.5


def test_only_the_k_most_probable_modes_count_and_their_probabilities_are_renormalised():
    trajectories, probabilities = straight_modes(1.0, 3.0, 5.0), np.array([[0.1, 0.3, 0.6]])
    assert score_forecast(trajectories, probabilities, ORIGIN, k=1).min_fde[0] == 5.0
    two = score_forecast(trajectories, probabilities, ORIGIN, k=2)
    assert two.min_fde[0] == 3.0
    assert two.brier_min_fde[0] == pytest.approx(3.0 + (1 - 1 / 3) ** 2)


def test_equally_probable_modes_keep_their_order():
    scores = score_forecast(straight_modes(7.0, 1.0, 2.0), np.full((1, 3), 1 / 3), ORIGIN, k=1)
    assert scores.min_fde[0] == 7.0


def test_an_endpoint_exactly_two_metres_off_is_a_hit():
    hit = score_forecast(straight_modes(2.0), np.ones((1, 1)), ORIGIN, k=1)
    missed = score_forecast(straight_modes(np.nextafter(2.0, 3.0)), np.ones((1, 1)), ORIGIN, k=1)
    assert not hit.miss[0]
    assert missed.miss[0]


def test_the_penalty_of_an_improbable_best_mode_is_capped_at_five_per_cent():
    scores = score_forecast(straight_modes(1.0, 9.0), np.array([[0.0, 1.0]]), ORIGIN, k=6)
    assert scores.p_min_fde[0] == pytest.approx(1.0 - np.log(0.05))


def test_a_forecast_of_one_mode_has_the_same_scores_for_every_k():
    trajectories, probabilities, truth = random_forecast(0, modes=1)
    one, six = (score_forecast(trajectories, probabilities, truth, k) for k in (1, 6))
    assert all(np.array_equal(getattr(one, name), getattr(six, name)) for name in vars(one))


def test_fewer_than_one_mode_cannot_be_kept():
    with pytest.raises(InputError, match="k of at least 1, got 0"):
        score_forecast(*random_forecast(0), k=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_forecast_that_is_not_finite_is_refused(bad):
    trajectories, probabilities, truth = random_forecast(0)
    trajectories[1, 2, 3, 0] = bad
    with pytest.raises(InputError, match="agent row 1: expected finite positions"):
        score_forecast(trajectories, probabilities, truth, k=6)


@pytest.mark.parametrize("bad", [[0.9, 0.2], [1.2, -0.2], [np.nan, 1.0]])
def test_probabilities_that_are_not_a_distribution_are_refused(bad):
    with pytest.raises(InputError, match=r"agent row 0: expected probabilities .* that sum to 1"):
        score_forecast(straight_modes(1.0, 2.0), np.array([bad]), ORIGIN, k=6)


def test_a_forecast_of_another_horizon_is_refused(make_scenario):
    longer, shorter = make_scenario("longer", steps=15), make_scenario("shorter", steps=14)
    with pytest.raises(InputError, match=r"scenario shorter, agent track0: .* 9 steps, as the truth has, .* 10 steps"):
        ForecastTable().add(shorter, constant_velocity(longer, np.arange(2)))


def test_the_table_averages_the_focal_agent_and_all_scored_agents(make_scenario):
    scenario = make_scenario(agents=2)
    truth = scenario.agents.position[:, scenario.history_steps :]
    offsets = np.array([1.0, 3.0])
    trajectories = (truth + np.stack([np.zeros(2), offsets], axis=-1)[:, None])[:, None]
    table = ForecastTable()
    table.add(scenario, Forecast(np.arange(2), trajectories, np.ones((2, 1))))
    metrics = table.as_json()
    assert (metrics["scenarios"], metrics["agents"], metrics["incomplete"]) == (1, 2, 0)
    assert metrics["k6"]["min_fde"] == pytest.approx(1.0)
    assert metrics["k6"]["miss_rate"] == 0.0
    assert metrics["k6"]["all_agents"]["min_fde"] == pytest.approx(2.0)
    assert metrics["k6"]["all_agents"]["miss_rate"] == 0.5
    assert set(METRICS) | {"all_agents"} == set(metrics["k1"]) == set(metrics["k6"])


def test_the_table_finds_an_agent_wherever_the_forecast_lists_it(make_scenario):
    scenario = make_scenario(agents=3)
    forward = constant_velocity(scenario, np.arange(3))
    backward = constant_velocity(scenario, np.array([2, 1, 0]))
    tables = ForecastTable(), ForecastTable()
    tables[0].add(scenario, forward)
    tables[1].add(scenario, backward)
    assert tables[0].as_json() == tables[1].as_json()


def test_agents_with_gaps_in_their_future_are_counted_and_not_scored(make_scenario):
    scenario = make_scenario(agents=3)
    valid = scenario.agents.valid.copy()
    valid[1, -1] = False
    gappy = replace(scenario, agents=replace(scenario.agents, valid=valid))
    table = ForecastTable()
    table.add(gappy, constant_velocity(gappy, np.arange(3)))
    metrics = table.as_json()
    assert (metrics["agents"], metrics["incomplete"], metrics["incomplete_focal"]) == (2, 1, 0)


def test_an_incomplete_focal_agent_is_counted_separately(make_scenario):
    whole, broken = make_scenario("whole"), make_scenario("broken")
    valid = broken.agents.valid.copy()
    valid[broken.focal, -1] = False
    broken = replace(broken, agents=replace(broken.agents, valid=valid))
    table = ForecastTable()
    for scenario in (whole, broken):
        table.add(scenario, constant_velocity(scenario, np.arange(2)))
    metrics = table.as_json()
    assert (metrics["scenarios"], metrics["incomplete_focal"]) == (2, 1)
    assert table.rows().focal.sum() == 1


def test_a_split_without_labels_has_nothing_to_report(make_scenario):
    scenario = make_scenario(steps=5, history_steps=5)
    table = ForecastTable()
    table.add(scenario, Forecast(np.arange(2), np.zeros((2, 1, 3, 2)), np.ones((2, 1))))
    with pytest.raises(InputError, match=r"no focal agent with a complete future in 1 scenarios.*evaluate on val"):
        table.as_json()


def test_a_diverged_forecast_is_refused_by_scenario_and_agent_and_leaves_the_table_alone(make_scenario):
    scenario = make_scenario("abc")
    forecast = constant_velocity(scenario, np.arange(2))
    forecast.trajectories[1, 0, 0, 0] = np.nan
    table = ForecastTable()
    with pytest.raises(InputError, match="scenario abc, agent track1: expected finite positions"):
        table.add(scenario, forecast)
    assert table == ForecastTable()


def test_a_forecast_that_leaves_out_a_scored_agent_is_refused(make_scenario):
    scenario = make_scenario("abc", agents=2)
    with pytest.raises(InputError, match="scenario abc, agent track1: expected a forecast, got none"):
        ForecastTable().add(scenario, constant_velocity(scenario, np.array([0])))


def test_kinds_and_manoeuvres_add_up_to_the_whole(make_scenario):
    table = ForecastTable()
    for seed in range(4):
        kinds = np.array([AgentKind.VEHICLE, AgentKind.PEDESTRIAN, AgentKind.CYCLIST])
        scenario = make_scenario(f"s{seed}", agents=3, kinds=kinds)
        trajectories, probabilities, _ = random_forecast(seed, agents=3, steps=10)
        table.add(scenario, Forecast(np.arange(3), trajectories, probabilities))
    metrics = table.as_json()
    assert set(metrics["by_kind"]) == {"vehicle", "pedestrian", "cyclist"}
    everybody = metrics["k6"]["all_agents"]
    groups = [(metrics[name], everybody) for name in ("by_kind", "by_distance", "by_history")]
    for group, whole in [*groups, (metrics["by_manoeuvre"], metrics["k6"])]:
        count = sum(part["agents"] for part in group.values())
        total = sum(part["agents"] * part["k6"]["min_fde"] for part in group.values())
        assert total / count == pytest.approx(whole["min_fde"])


def test_scored_agents_are_judged_together_and_their_probabilities_too(make_scenario):
    table, scores, agents = ForecastTable(), [], 0
    for seed in range(4):
        scenario = make_scenario(f"s{seed}", agents=3)
        trajectories, probabilities, _ = random_forecast(seed, agents=3, steps=10)
        order = np.array([2, 0, 1])
        table.add(scenario, Forecast(order, trajectories[order], probabilities[order]))
        truth = scenario.agents.position[:, scenario.history_steps :]
        scores.append(score_worlds(*worlds_of(trajectories, probabilities, scenario.focal, 6), truth))
        agents += 3
    metrics = table.as_json()
    assert metrics["worlds"] == mean_scores(scores) | {"scenarios": 4}
    assert sum(part["modes"] for part in metrics["calibration"]["bins"]) == 6 * agents


def test_intervals_hold_the_mean_and_repeat_with_their_seed(make_scenario):
    tables = [ForecastTable(seed=3), ForecastTable(seed=3), ForecastTable(seed=4)]
    for seed in range(30):
        scenario = make_scenario(f"s{seed}")
        trajectories, probabilities, _ = random_forecast(seed, agents=2, steps=10)
        for table in tables:
            table.add(scenario, Forecast(np.arange(2), trajectories, probabilities))
    first, again, other = (table.as_json() for table in tables)
    assert first == again
    assert first["interval"]["k6"] != other["interval"]["k6"]
    for k in ("k1", "k6"):
        for name in METRICS:
            low, high = first["interval"][k][name]
            assert low <= first[k][name] <= high


def test_constant_velocity_on_argoverse_1_mini_has_the_published_numbers(real_data, make_scenario):
    """2.521 / 5.711 / 0.747, measured by other code on the same 616 scenes."""
    path = real_data / "argoverse1" / "scenes" / "val_tracks.parquet"
    rows = pq.read_table(path, columns=["seq_id", "step", "x_mm", "y_mm"], filters=[("track", "=", 0)])
    columns = {name: rows[name].to_numpy() for name in rows.column_names}
    order = np.lexsort((columns["step"], columns["seq_id"]))
    position = np.stack([columns["x_mm"], columns["y_mm"]], axis=-1)[order].reshape(-1, 50, 2) / 1000.0
    table = ForecastTable()
    for index, track in enumerate(position):
        scenario = make_scenario(str(index), position=track[None], history_steps=20)
        table.add(scenario, constant_velocity(scenario, np.array([0])))
    metrics = table.as_json()
    assert metrics["scenarios"] == 616
    found = [round(metrics["k1"][name], 3) for name in ("min_ade_endpoint", "min_fde", "miss_rate")]
    assert found == [2.521, 5.711, 0.747]
    assert metrics["k6"] == metrics["k1"]
