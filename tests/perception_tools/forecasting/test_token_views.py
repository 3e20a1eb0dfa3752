from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from perception.encoders.vectornet.batch import VectorBatch
from perception.encoders.vectornet.views import View
from perception.errors import InputError
from perception.models.forecaster import Forecaster
from perception.traffic.scenario import Scenario
from perception_datasets.forecasting import open_forecasting
from perception_tools.analysis.filtering.views import Asked
from perception_tools.forecasting.model import build_forecaster, load_model
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.forecasting.token_views import _seen, _target, forecast_views
from perception_tools.main import main
from perception_tools.training.recipes import BlockRecipe


def forecaster(view: View) -> Forecaster:
    recipe = ForecastRecipe(block=BlockRecipe(source="random:32x48x4?seed=0"), dim=16, heads=2, view=view)
    return build_forecaster(recipe, 10)


@pytest.mark.parametrize("view", ["pairwise", "scene", "agent"])
def test_tokens_are_told_to_be_the_agents_and_lanes_that_they_are(view: View, make_scenario) -> None:
    scenario: Scenario = make_scenario(agents=3)
    model = forecaster(view)
    prepared = model.prepare(scenario)
    batch = model.collate([prepared], [np.array([scenario.focal])])
    assert isinstance(batch, VectorBatch)
    tokens = model.encoder(batch)
    seen = _seen(batch, prepared, tokens.valid[0].numpy())
    assert sorted(seen.agents.tolist()) == [0, 1, 2]
    assert set(seen.lanes.tolist()) <= {0, 1, 2}
    city_SE2_focal = scenario.city_SE2_agent(scenario.focal)
    places = city_SE2_focal.apply(batch.token_poses[0, :, :2].numpy().astype(np.float64))
    middles = scenario.map.points[seen.lanes, scenario.map.points.shape[1] // 2]
    expected = np.concatenate([scenario.agents.position[seen.agents, scenario.present], middles])
    np.testing.assert_allclose(places, expected, atol=1e-4)


def test_the_target_is_the_lanes_that_were_driven_along(make_scenario) -> None:
    scenario: Scenario = make_scenario()  # along y = 0, where the first lane is; the crosswalk at x = 20 is not reached
    model = forecaster("scene")
    prepared = model.prepare(scenario)
    batch = model.collate([prepared], [np.array([scenario.focal])])
    assert isinstance(batch, VectorBatch)
    seen = _seen(batch, prepared, batch.token_valid[0].numpy())
    target, counted = _target(scenario, seen)
    assert target is not None
    agents = len(seen.agents)
    assert not counted[:agents].any()
    assert counted[agents:].all()
    assert seen.lanes[target[agents:]].tolist() == [0]


def test_a_trained_models_views_fit_together_and_can_be_drawn(trained_run: Path, data: Path) -> None:
    trained = load_model(trained_run)
    views = forecast_views([trained], Asked(data, None, "val", 2))
    records = list(views.records)
    assert [view.id for (view,) in records] == open_forecasting(data, "val", limit=2).ids
    for (view,) in records:
        tokens = len(view.counted)
        assert {len(value) for value in view.stages.values()} == {tokens}
        assert view.attention is not None
        assert view.attention.sum() == pytest.approx(4)  # heads; padding is not looked at
        assert view.sorts is not None
        assert {len(v) for v in (*view.priors.values(), view.sorts, view.target)} == {tokens}  # pyright: ignore
        for values in (None, np.linspace(0, 1, tokens)):
            axes = Figure().subplots()
            view.draw(axes, values)
            assert len(axes.patches) >= int((view.sorts == 0).sum())


def test_the_command_looks_at_forecasts(trained_run: Path, broken_data: Path, tmp_path: Path) -> None:
    places = ["--data", str(broken_data), "--out", str(tmp_path / "out"), "--pictures", "1"]
    assert main(["analyse", "filtering", str(trained_run), *places]) == 0
    numbers = json.loads((tmp_path / "out" / "filtering.json").read_text())
    assert numbers["records"] == 4
    assert len(numbers["failures"]) == 1
    assert set(numbers["baselines"]) == {"near the agent", "straight on", "random", "everything"}


def test_masks_are_of_no_use_to_forecasts(trained_run: Path, data: Path) -> None:
    with pytest.raises(InputError, match="target is the way that was driven"):
        forecast_views([load_model(trained_run)], Asked(data, data))
