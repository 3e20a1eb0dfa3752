from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perception.metrics.bootstrap import bootstrap_interval
from perception.metrics.forecasting import METRICS, ScoredAgents
from perception_tools.forecasting.comparison import System, compare, compare_all

MIN_FDE = METRICS.index("min_fde")


def make_scores(seed: int = 0, scenarios: int = 60, agents: int = 3, shift: float = 0.0) -> ScoredAgents:
    """Scores of the same scenarios for every seed, but for a little noise; agent 0 is focal."""
    hard = np.random.default_rng(9).exponential(3.0, size=(scenarios * agents, len(METRICS)))
    noise = np.random.default_rng(seed).normal(shift, 0.1, size=hard.shape)
    return ScoredAgents(
        scenarios=tuple(f"s{i}" for i in range(scenarios) for _ in range(agents)),
        agents=np.tile(np.arange(agents), scenarios),
        focal=np.tile(np.arange(agents) == 0, scenarios),
        kinds=np.zeros(scenarios * agents, dtype=np.int64),
        manoeuvres=("straight",) * (scenarios * agents),
        k1=hard * 2 + noise,
        k6=hard + noise,
    )


def make_system(name: str, *scores: ScoredAgents) -> System:
    return System(name, tuple(f"{name} {i}" for i in range(len(scores))), tuple(range(len(scores))), scores)


def test_a_difference_is_shown_though_the_intervals_of_the_means_overlap() -> None:
    better, plain = make_scores(1, shift=-0.3), make_scores(2)
    (low, high), (other_low, _) = (
        np.array(bootstrap_interval(scores.k6[scores.focal], seed=0))[:, MIN_FDE] for scores in (plain, better)
    )
    assert low < better.k6[better.focal, MIN_FDE].mean() < high
    assert other_low < high
    found = compare(make_system("better", better), make_system("plain", plain))
    assert found.focal["k6"]["min_fde"].told_apart
    assert found.verdict().startswith("better against plain: -0.3")
    assert found.verdict().endswith("], better (paired over 60 scenarios).")


def test_agents_are_matched_by_scenario_and_number_not_by_row() -> None:
    first, second = make_scores(1), make_scores(2)
    order = np.random.default_rng(3).permutation(len(second))
    shuffled = ScoredAgents(
        tuple(second.scenarios[i] for i in order),
        second.agents[order],
        second.focal[order],
        second.kinds[order],
        second.manoeuvres,
        second.k1[order],
        second.k6[order],
    )
    plain, mixed = (compare(make_system("a", first), make_system("b", scores)) for scores in (second, shuffled))
    assert mixed == plain
    wrong = first.k6[first.focal] - shuffled.k6[shuffled.focal]
    assert np.abs(plain.focal["k6"]["min_fde"].high) < 0.2 < wrong[:, MIN_FDE].std()


def test_what_not_all_models_were_scored_on_is_left_out_and_counted() -> None:
    first, second = make_scores(1, scenarios=60), make_scores(1, scenarios=60)
    keep = np.array([name != "s7" for name in second.scenarios])
    fewer = replace(
        second,
        scenarios=tuple(name for name in second.scenarios if name != "s7"),
        **{name: getattr(second, name)[keep] for name in ("agents", "focal", "kinds", "k1", "k6")},
        manoeuvres=second.manoeuvres[: int(keep.sum())],
    )
    found = compare(make_system("a", first), make_system("b", fewer))
    assert (found.scenarios, found.left_out) == (59, 3)
    assert found.focal["k6"]["min_fde"].difference == 0.0


def test_every_metric_of_both_tables_is_compared() -> None:
    first, second = make_scores(1, shift=0.5), make_scores(2)
    found = compare(make_system("a", first), make_system("b", second)).as_json()
    for k in ("k6", "k1"):
        ours, theirs = getattr(first, k), getattr(second, k)
        assert found[k].keys() == {*METRICS, "all_agents"}
        for i, metric in enumerate(METRICS):
            focal, everyone = found[k][metric], found[k]["all_agents"][metric]
            assert focal["difference"] == pytest.approx((ours - theirs)[first.focal, i].mean())
            assert everyone["difference"] == pytest.approx((ours - theirs)[:, i].mean())
            assert focal["shown"]
            assert focal["interval"][0] < focal["difference"] < focal["interval"][1]
    assert (found["first"], found["second"], found["trainings"], found["scenarios"]) == ("a", "b", (1, 1), 60)


def test_agents_of_a_scenario_are_not_taken_for_independent() -> None:
    one = make_scores(1, agents=1)
    twenty = ScoredAgents(
        tuple(name for name in one.scenarios for _ in range(20)),
        np.tile(np.arange(20), 60),
        np.tile(np.arange(20) == 0, 60),
        np.repeat(one.kinds, 20),
        one.manoeuvres * 20,
        np.repeat(one.k1, 20, axis=0),
        np.repeat(one.k6, 20, axis=0),
    )
    nothing = replace(twenty, k1=np.zeros_like(twenty.k1), k6=np.zeros_like(twenty.k6))
    found = compare(make_system("a", twenty), make_system("b", nothing))
    focal, everyone = found.focal["k6"]["min_fde"], found.all_agents["k6"]["min_fde"]
    assert (everyone.low, everyone.high) == pytest.approx((focal.low, focal.high))


def test_a_systems_numbers_are_the_means_over_its_seeds() -> None:
    seeds = make_scores(1), make_scores(2, shift=1.0), make_scores(3, shift=2.0)
    system = make_system("a", *seeds)
    expected = np.mean([scores.k6[scores.focal, MIN_FDE].mean() for scores in seeds])
    assert system.as_json()["k6"]["min_fde"] == pytest.approx(expected)
    assert system.as_json()["seeds"] == [0, 1, 2]
    found = compare(system, make_system("b", make_scores(4)))
    assert found.trainings == (3, 1)
    assert found.verdict().endswith("scenarios, 3 and 1 trainings).")


def test_trainings_of_the_same_seeds_are_paired() -> None:
    first = [make_scores(i, shift=float(i)) for i in range(3)]
    second = [make_scores(i, shift=float(i) + 0.3) for i in range(3)]
    paired = compare(make_system("a", *first), make_system("b", *second))
    mixed = compare(make_system("a", *first), replace(make_system("b", *second), seeds=(5, 6, 7)))
    assert paired.verdict().endswith("], better (paired over 60 scenarios, 3 seeds).")
    assert mixed.verdict().endswith("], no difference shown (paired over 60 scenarios, 3 and 3 trainings).")


def test_all_pairs_are_compared_in_order() -> None:
    systems = [make_system(name, make_scores(i)) for i, name in enumerate("abc")]
    assert [(found.first, found.second) for found in compare_all(systems)] == [("a", "b"), ("a", "c"), ("b", "c")]
