"""Agents and lanes of a scene as tokens on its map, for whoever looks at what the block makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.patches import Polygon

from perception.encoders.vectornet.batch import VectorBatch
from perception.encoders.vectornet.vectorize import VectorizedScenario
from perception.errors import InputError
from perception.frozen.stages import block_attention, block_stages, expect_adapter, noted_inputs
from perception.models.forecaster import Forecaster
from perception.traffic.scenario import STEP_S, Scenario
from perception_datasets.forecasting import open_forecasting
from perception_tools.analysis.filtering.pictures import heat_colours
from perception_tools.analysis.filtering.views import Asked, TokenView, TokenViews
from perception_tools.forecasting.model import TrainedForecaster
from perception_tools.forecasting.report.lane_map import LANE_WIDTH_M, draw_map
from perception_tools.forecasting.report.pictures import agent_box, upright
from perception_tools.forecasting.split import Split, trained_shape
from perception_tools.report.theme import colour

ON_THE_WAY_M = 2.0
"""A lane is on a way that it comes this near to: about half its width."""
INCHES = (1.7, 2.1)
WIDTH_M, BEHIND = 72.0, 0.3
"""Width of a drawing, and the part of its height that is behind the focal agent."""
DARK_GROUND = "#2a2440"
"""Under the colours of activations, of which the least are black."""
RULE = (
    "A token is an agent or a lane. Agents are compared with agents and lanes with lanes. Of the target are the lanes, "
    f"among those that the model sees, within {ON_THE_WAY_M:g} m of where the focal agent really drove afterwards; "
    "agents do not count in the measure. “Straight on” is what lies beside a drive at the present velocity."
)


def forecast_views(models: Sequence[TrainedForecaster], asked: Asked) -> TokenViews:
    """Scenarios of a split; the target is the way that was driven.

    Raises:
        InputError: The scenarios cannot be opened, or a model has an encoder of its own, whose tokens are unknown here.
    """
    if asked.masks is not None:
        raise InputError(f"--masks {asked.masks}: a forecast's target is the way that was driven; leave it out")
    split = Split(open_forecasting(asked.data, asked.split, limit=asked.limit), trained_shape(models))
    return TokenViews("scenarios", _records(models, split, asked), failures=split.failures, rules=(RULE,))


def _records(models: Sequence[TrainedForecaster], split: Split, asked: Asked) -> Iterator[tuple[TokenView, ...]]:
    for (scenario,) in split.batches(1):
        yield tuple(_view(one.model, scenario, asked) for one in models)


@dataclass(frozen=True)
class _Seen:
    """What the tokens of a view are, agents first.

    Attributes:
        agents: Agent of the scenario that each of the first tokens is.
        lanes: Polyline of the map that each of the others is.
    """

    agents: Int[np.ndarray, " agents"]
    lanes: Int[np.ndarray, " lanes"]


@torch.no_grad()
def _view(model: Forecaster, scenario: Scenario, asked: Asked) -> TokenView:
    prepared = model.prepare(scenario)
    batch = model.collate([prepared], [np.array([scenario.focal])]).to(next(model.parameters()).device)
    adapter = expect_adapter(model.block)
    with noted_inputs(adapter) as given:
        model(batch)
    (tokens,) = given
    if not isinstance(batch, VectorBatch) or not isinstance(prepared, VectorizedScenario):
        raise InputError(
            f"analyse filtering: expected a model that sees polylines as VectorNet does, got one with "
            f"{type(model.encoder).__name__}; say what its tokens are in forecasting/token_views.py"
        )
    valid = tokens.valid[0].cpu().numpy()
    seen = _seen(batch, prepared, valid)
    stages = block_stages(adapter, tokens, asked.inside).named()
    looks = block_attention(adapter, tokens, batch.readout)
    target, counted = _target(scenario, seen)
    return TokenView(
        id=scenario.id,
        stages={name: value[0].double().cpu().numpy()[valid] for name, value in stages.items()},
        attention=None if looks is None else looks[0, :, 0].sum(0).double().cpu().numpy()[valid],
        attention_stage="attention",
        target=target,
        counted=counted,
        priors=_priors(scenario, seen),
        draw=partial(_draw, scenario, seen, target),
        sorts=np.repeat([0, 1], [len(seen.agents), len(seen.lanes)]),
        inches=INCHES,
    )


def _seen(batch: VectorBatch, prepared: VectorizedScenario, valid: Bool[np.ndarray, " tokens"]) -> _Seen:
    """What the tokens of the only view are: its frame is the focal agent's, by whatever view a model sees."""
    index = batch.token_index[0].cpu().numpy()[valid]
    is_agent = index < len(batch.agent_kinds)
    poses = batch.token_poses[0].cpu().numpy()[valid][is_agent]
    nearest = np.linalg.norm(poses[:, None, :2] - prepared.agent_poses[None, :, :2], axis=-1).argmin(axis=1)
    lanes = batch.lane_rows.cpu().numpy()[index[~is_agent] - len(batch.agent_kinds)]
    return _Seen(prepared.agents[nearest], lanes)


def _target(scenario: Scenario, seen: _Seen) -> tuple[Bool[np.ndarray, " tokens"] | None, Bool[np.ndarray, " tokens"]]:
    """Lanes that were driven along, and the tokens that count; no target without a known future."""
    counted = np.repeat([False, True], [len(seen.agents), len(seen.lanes)])
    known = scenario.agents.valid[scenario.focal, scenario.history_steps :]
    if not known.any():
        return None, counted
    way = scenario.agents.position[scenario.focal, scenario.history_steps :][known]
    near = _distance_m(scenario, seen, way)[len(seen.agents) :] < ON_THE_WAY_M
    return np.concatenate([np.zeros(len(seen.agents), bool), near]), counted


def _priors(scenario: Scenario, seen: _Seen) -> dict[str, Float[np.ndarray, " tokens"]]:
    """Nearness to the focal agent, and to where it would be at its present velocity."""
    here = scenario.agents.position[scenario.focal, scenario.present]
    velocity = scenario.agents.velocity[scenario.focal, scenario.present]
    times_s = STEP_S * np.arange(1, max(scenario.future_steps, 1) + 1)
    ways = {"near the agent": here[None], "straight on": here + times_s[:, None] * velocity}
    found = {}
    for name, way in ways.items():
        distance = _distance_m(scenario, seen, way)
        found[name] = 1 - distance / max(float(distance.max(initial=0.0)), 1e-9)
    return found


def _distance_m(scenario: Scenario, seen: _Seen, way: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, " tokens"]:
    """Distance of each token from the nearest point of a way; a lane's is that of its nearest segment."""
    agents = scenario.agents.position[seen.agents, scenario.present]
    to_agents = np.linalg.norm(agents[:, None] - way, axis=-1).min(axis=1, initial=np.inf)
    start, end = scenario.map.points[seen.lanes, :-1, None], scenario.map.points[seen.lanes, 1:, None]
    along = end - start
    length = np.maximum((along**2).sum(-1), 1e-12)
    share = (((way - start) * along).sum(-1) / length).clip(0, 1)
    to_lanes = np.linalg.norm(start + share[..., None] * along - way, axis=-1).min(axis=(1, 2), initial=np.inf)
    return np.concatenate([to_agents, to_lanes])


def _draw(
    scenario: Scenario,
    seen: _Seen,
    target: Bool[np.ndarray, " tokens"] | None,
    axes: Axes,
    values: Float[np.ndarray, " tokens"] | None,
) -> None:
    """The map, the focal agent driving up: the way that was driven, or the activations of lanes and agents."""
    tracks, present, focal = scenario.agents, scenario.present, scenario.focal
    picture_SE2_city = upright(tracks.position[focal, present], float(tracks.heading[focal, present]))
    height_m = WIDTH_M * INCHES[1] / INCHES[0]
    axes.set(xlim=(-WIDTH_M / 2, WIDTH_M / 2), ylim=(-BEHIND * height_m, (1 - BEHIND) * height_m))
    axes.set_rasterization_zorder(100)  # a page holds some hundred maps
    points_per_m = 72 * INCHES[0] / WIDTH_M
    lines = picture_SE2_city.apply(scenario.map.points[seen.lanes])
    if values is None:
        axes.set_facecolor(colour("ground"))
        draw_map(axes, scenario.map, picture_SE2_city, points_per_m)
        on_the_way = np.zeros(len(seen.lanes), bool) if target is None else target[len(seen.agents) :]
        _draw_lanes(axes, lines[on_the_way], to_rgba(colour("truth"), 0.55), points_per_m)
        known = tracks.valid[focal, present:]
        way = picture_SE2_city.apply(tracks.position[focal, present:][known])
        axes.plot(*way.T, color=colour("focal"), linewidth=1.2, linestyle=(0, (2, 1)), zorder=4)
        agent_shades = np.tile(to_rgb(colour("agent")), (len(seen.agents), 1))
    else:
        axes.set_facecolor(DARK_GROUND)
        order = np.argsort(values[len(seen.agents) :], kind="stable")  # what stands out lies on top
        _draw_lanes(axes, lines[order], heat_colours(values[len(seen.agents) :][order]), points_per_m)
        agent_shades = heat_colours(values[: len(seen.agents)])
    places = picture_SE2_city.apply(tracks.position[seen.agents, present])
    for agent, place, shade in zip(seen.agents, places, agent_shades, strict=True):
        heading_rad = float(tracks.heading[agent, present]) + picture_SE2_city.heading_rad
        box = 1.5 * (agent_box(place, heading_rad, int(tracks.kinds[agent])) - place) + place  # to be seen at this size
        edge = colour("truth") if agent == focal else "white"
        axes.add_patch(
            Polygon(box, facecolor=shade, edgecolor=edge, linewidth=1.2 if agent == focal else 0.6, zorder=5)
        )


def _draw_lanes(axes: Axes, lines: Float[np.ndarray, "lanes points 2"], shades: Any, points_per_m: float) -> None:
    drawn = LineCollection(list(lines), colors=shades, linewidths=0.6 * LANE_WIDTH_M * points_per_m, zorder=2)
    drawn.set_capstyle("round")
    axes.add_collection(drawn, autolim=False)
