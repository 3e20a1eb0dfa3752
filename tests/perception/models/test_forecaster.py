"""The forecaster as a whole: the same futures however the question is put."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from perception.baselines.constant_velocity import constant_velocity
from perception.encoders.mm_transformer.network import MMTransformer
from perception.encoders.query_centric.network import QueryCentric
from perception.encoders.vectornet import views
from perception.encoders.vectornet.network import VectorNet
from perception.encoders.vectornet.views import View
from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.readout_cost import Regime
from perception.geometry import SE2
from perception.heads.trajectory import TrajectoryDecoder
from perception.heads.trajectory_proposals import ProposalDecoder
from perception.models.forecaster import Forecaster
from perception.traffic.scenario import Forecast, Scenario

every_view = pytest.mark.parametrize("view", get_args(View))
SEEDS = (3, 4, 5)


def tiny(view: View = "agent", max_tokens: int = 96) -> Forecaster:
    torch.manual_seed(0)
    encoder = VectorNet(dim=16, subgraph_widths=(4, 8, 8), heads=2, view=view, max_tokens=max_tokens)
    block = build_adapter(16, kind="language", source="random:32x48x4?seed=0", init="default")
    return Forecaster(encoder, block, TrajectoryDecoder(16, modes=3, steps=10)).eval()


def tiny_mm_transformer(**options) -> Forecaster:
    torch.manual_seed(0)
    encoder = MMTransformer(dim=16, modes=6, **options)
    block = build_adapter(16, kind="language", source="random:32x48x4?seed=0", init="default")
    return Forecaster(encoder, block, ProposalDecoder(16, modes=6, steps=10)).eval()


MM_OPTIONS = (
    {},
    {"view": "scene"},
    {"block_tokens": "agents"},
    {"block_rows": "proposals"},
    {"view": "scene", "block_rows": "proposals"},
)
every_mm_transformer = pytest.mark.parametrize("options", MM_OPTIONS, ids=lambda o: "-".join(o.values()) or "default")


def seen(scenario: Scenario) -> np.ndarray:
    return np.flatnonzero(scenario.agents.valid[:, scenario.present])


def assert_same(left: Forecast, right: Forecast, atol: float = 1e-3, probability_atol: float = 1e-4) -> None:
    np.testing.assert_array_equal(left.agents, right.agents)
    np.testing.assert_allclose(left.trajectories, right.trajectories, rtol=0, atol=atol)
    np.testing.assert_allclose(left.probabilities, right.probabilities, rtol=0, atol=probability_atol)


@every_view
def test_many_scenarios_in_one_call_are_forecast_as_one_by_one(random_scenario, view: View) -> None:
    scenarios = [random_scenario(seed) for seed in SEEDS]
    model = tiny(view)
    together = model.forecast(scenarios, [seen(s) for s in scenarios])
    for scenario, forecast in zip(scenarios, together, strict=True):
        (alone,) = model.forecast([scenario], [seen(scenario)])
        assert_same(forecast, alone)
        assert forecast.trajectories.shape == (len(seen(scenario)), 3, 10, 2)
        np.testing.assert_allclose(forecast.probabilities.sum(axis=1), 1, atol=1e-6)


@every_view
def test_agents_may_be_asked_in_any_order(random_scenario, view: View) -> None:
    scenario = random_scenario(4)
    agents = seen(scenario)
    assert len(agents) > 2
    order = np.roll(np.arange(len(agents)), 1)
    model, vectors = tiny(view), scenario
    (sorted_agents,), (rolled,) = model.forecast([vectors], [agents]), model.forecast([vectors], [agents[order]])
    expected = Forecast(agents[order], sorted_agents.trajectories[order], sorted_agents.probabilities[order])
    assert_same(rolled, expected)


@every_view
def test_forecasts_move_with_the_city(random_scenario, moved, view: View) -> None:
    scenario, elsewhere = random_scenario(5), SE2(2500.0, -900.0, 2.0)
    model = tiny(view)
    (here,) = model.forecast([scenario], [seen(scenario)])
    (there,) = model.forecast([moved(scenario, elsewhere)], [seen(scenario)])
    assert_same(there, replace(here, trajectories=elsewhere.apply(here.trajectories)))


@every_view
def test_lane_features_that_are_known_already_change_nothing(random_scenario, view: View) -> None:
    """Also where the views see only some of the lanes."""
    scenarios = [random_scenario(seed) for seed in SEEDS]
    model = tiny(view, max_tokens=5)
    vectors, agents = scenarios, [seen(s) for s in scenarios]
    known = [encoded for s in scenarios if (encoded := model.encode_map(s.map)) is not None]
    fresh, kept = model.forecast(vectors, agents), model.forecast(vectors, agents, known)
    for left, right in zip(fresh, kept, strict=True):
        assert_same(left, right, atol=1e-5)
    exchanged = model.forecast(vectors, agents, [torch.roll(features, 1, dims=1) for features in known])
    assert any(np.abs(a.trajectories - b.trajectories).max() > 1e-3 for a, b in zip(fresh, exchanged, strict=True))


def test_agent_and_scene_view_agree_about_the_focal_agent_where_both_see_everything(
    random_scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "REACH_M", 1e6)
    scenario = random_scenario(5)
    vectors, focal = [scenario], [np.array([scenario.focal])]
    assert_same(tiny("agent").forecast(vectors, focal)[0], tiny("scene").forecast(vectors, focal)[0])


def test_in_the_pairwise_view_every_agent_is_forecast_as_if_it_were_the_focal_one(
    random_scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "REACH_M", 1e6)
    scenario, model = random_scenario(5), tiny("pairwise")
    (together,) = model.forecast([scenario], [seen(scenario)])
    for row, agent in enumerate(seen(scenario)):
        (own,) = model.forecast([replace(scenario, focal=int(agent))], [np.array([agent])])
        np.testing.assert_allclose(own.trajectories[0], together.trajectories[row], atol=1e-3)


@every_view
def test_agents_that_are_not_seen_at_the_present_are_refused(
    make_scenario: Callable[..., Scenario], view: View
) -> None:
    scenario = make_scenario(agents=3)
    valid = scenario.agents.valid.copy()
    valid[1, scenario.present] = False
    vectors = replace(scenario, agents=replace(scenario.agents, valid=valid))
    for wanted in ([1], [0, 1], [3], []):
        with pytest.raises(ValueError, match=r"expected agents observed at the present step, \[0, 2\], got \["):
            tiny(view).forecast([vectors], [np.array(wanted, dtype=np.int64)])


@every_view
def test_a_decoder_of_zeros_is_constant_velocity(make_scenario: Callable[..., Scenario], moved, view: View) -> None:
    model = tiny(view)
    assert isinstance(model.head, TrajectoryDecoder)
    last = model.head.regress[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    scenario = moved(make_scenario(agents=3), SE2(800.0, 400.0, 1.1))
    agents = np.array([2, 0, 1])
    (forecast,) = model.forecast([scenario], [agents])
    expected = constant_velocity(scenario, agents).trajectories
    np.testing.assert_allclose(forecast.trajectories, np.repeat(expected, 3, axis=1), atol=1e-4)


def test_gradients_reach_every_trained_parameter_through_the_frozen_block(
    make_scenario: Callable[..., Scenario],
) -> None:
    model = tiny().train()
    modes = model(model.collate([model.prepare(make_scenario(agents=3))], [np.array([0, 2])]))
    (modes.trajectories.square().mean() + (modes.logits * torch.arange(3)).mean()).backward()
    silent = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert silent == []
    adapter = model.block
    assert isinstance(adapter, FrozenBlockAdapter)
    assert all(p.grad is None for p in adapter.blocks.parameters())


@every_view
def test_the_folded_model_forecasts_the_same(random_scenario, view: View) -> None:
    scenario, model = random_scenario(4), tiny(view)
    question = [scenario], [seen(scenario)]
    (expected,), (folded,) = model.forecast(*question), model.folded().forecast(*question)
    assert_same(folded, expected, atol=1e-5)
    (narrow,) = model.folded("int8_dynamic").forecast(*question)
    assert_same(narrow, expected, atol=1.0, probability_atol=1e-2)
    assert not np.array_equal(narrow.trajectories, expected.trajectories)


@every_mm_transformer
def test_mm_transformer_forecasts_many_scenarios_as_one_by_one_in_any_order_and_city(
    random_scenario, moved, options: dict
) -> None:
    scenarios, model = [random_scenario(seed) for seed in SEEDS], tiny_mm_transformer(**options)
    together = model.forecast(scenarios, [seen(s) for s in scenarios])
    elsewhere = SE2(2500.0, -900.0, 2.0)
    for scenario, forecast in zip(scenarios, together, strict=True):
        agents = seen(scenario)
        order = np.roll(np.arange(len(agents)), 1)
        (there,) = model.forecast([moved(scenario, elsewhere)], [agents[order]])
        expected = Forecast(agents[order], elsewhere.apply(forecast.trajectories[order]), forecast.probabilities[order])
        assert_same(there, expected, atol=5e-3)
        assert forecast.trajectories.shape == (len(agents), 6, 10, 2)


@every_mm_transformer
def test_mm_transformers_folded_model_and_fast_read_out_forecast_the_same(random_scenario, options: dict) -> None:
    scenario, model = random_scenario(4), tiny_mm_transformer(**options)
    question = [scenario], [seen(scenario)]
    (expected,), (folded,) = model.forecast(*question), model.folded().forecast(*question)
    assert_same(folded, expected, atol=1e-4)
    assert isinstance(model.block, FrozenBlockAdapter)
    for regime in get_args(Regime):
        model.block.regime = regime
        (read,) = model.forecast(*question)
        assert_same(read, expected, atol=1e-4)


@every_mm_transformer
def test_gradients_reach_every_trained_parameter_of_mm_transformer(random_scenario, options: dict) -> None:
    model, scenario = tiny_mm_transformer(**options).train(), random_scenario(5)
    modes = model(model.collate([model.prepare(scenario)], [seen(scenario)]))
    (modes.trajectories.square().mean() + (modes.logits * torch.arange(6)).mean()).backward()
    silent = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    # what shifts all scores alike has no gradient through a softmax, and a shift of all keys none through attention
    assert [n for n in silent if not n.endswith(("classification_layer.1.bias", "linears.1.bias"))] == []


def test_of_36_proposals_six_are_given_out(random_scenario) -> None:
    torch.manual_seed(0)
    block = build_adapter(16, kind="none")
    model = Forecaster(MMTransformer(dim=16, modes=36), block, ProposalDecoder(16, 36, 10, regions=6)).eval()
    scenario = random_scenario(4)
    (forecast,) = model.forecast([scenario], [seen(scenario)])
    assert forecast.trajectories.shape[1] == 6
    np.testing.assert_allclose(forecast.probabilities.sum(axis=1), 1, atol=1e-6)


def tiny_query_centric() -> Forecaster:
    torch.manual_seed(0)
    encoder = QueryCentric(dim=16, heads=2, modes=3, max_tokens=12)
    block = build_adapter(16, kind="language", source="random:32x48x4?seed=0", init="default")
    return Forecaster(encoder, block, TrajectoryDecoder(16, modes=3, steps=10)).eval()


def test_the_query_centric_encoder_forecasts_many_scenarios_as_one_by_one_in_any_order_and_city(
    random_scenario, moved
) -> None:
    scenarios, model = [random_scenario(seed) for seed in SEEDS], tiny_query_centric()
    together = model.forecast(scenarios, [seen(s) for s in scenarios])
    maps = [features for s in scenarios if (features := model.encode_map(s.map)) is not None]
    kept = model.forecast(scenarios, [seen(s) for s in scenarios], maps)
    elsewhere = SE2(2500.0, -900.0, 2.0)
    for scenario, forecast, with_kept_map in zip(scenarios, together, kept, strict=True):
        agents = seen(scenario)
        order = np.roll(np.arange(len(agents)), 1)
        (there,) = model.forecast([moved(scenario, elsewhere)], [agents[order]])
        expected = Forecast(agents[order], elsewhere.apply(forecast.trajectories[order]), forecast.probabilities[order])
        assert_same(there, expected, atol=5e-3, probability_atol=1e-3)
        assert_same(with_kept_map, forecast)
        assert forecast.trajectories.shape == (len(agents), 3, 10, 2)


def test_the_query_centric_models_folded_form_and_fast_read_out_forecast_the_same(random_scenario) -> None:
    scenario, model = random_scenario(4), tiny_query_centric()
    question = [scenario], [seen(scenario)]
    (expected,), (folded,) = model.forecast(*question), model.folded().forecast(*question)
    assert_same(folded, expected, atol=1e-4)
    assert isinstance(model.block, FrozenBlockAdapter)
    for regime in get_args(Regime):
        model.block.regime = regime
        (read,) = model.forecast(*question)
        assert_same(read, expected, atol=1e-4)


def test_futures_of_the_query_centric_model_use_what_the_block_gives_and_what_they_saw_themselves(
    random_scenario,
) -> None:
    model, scenario = tiny_query_centric().train(), random_scenario(5)
    modes = model(model.collate([model.prepare(scenario)], [seen(scenario)]))
    (modes.trajectories.square().mean() + (modes.logits * torch.arange(3)).mean()).backward()
    silent = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    # what shifts all scores alike has no gradient through a softmax, and a shift of all keys none through attention
    assert [n for n in silent if not n.endswith("score.1.bias")] == []
