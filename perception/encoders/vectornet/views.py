"""Views of vectorised scenarios: which polylines a viewer sees, from where, and whose futures it is asked.

In the `agent` view every predicted agent is a view of its own, with one row to read. In the `scene` view a scenario
is seen once, from the focal agent's pose, with a row for every predicted agent; it holds all agents, and the lanes that
the focal agent or a moving one may reach. The network is the same for both. The `pairwise` view is a scene's too,
in which every polyline sees its neighbours from its own pose: it does not matter to it where the view stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int

from perception.encoders.vectornet.vectorize import VectorizedScenario

View = Literal["agent", "scene", "pairwise"]
LOOK_AHEAD_S = 1.5
"""An agent sees the polylines nearest to where it will be after half of Argoverse 1's three seconds."""
REACH_S = (0.0, 1.0, 2.0, 3.0)
"""When the moving agents of a scene are looked for beside its lanes."""
REACH_M = 25.0
"""A lane that comes this near to one of them is seen in the scene view: on Argoverse 1, 59 of 116 lanes do."""
MOVING_M_S = 1.0
"""Slower agents count as standing."""


@dataclass(frozen=True)
class _Viewer:
    """A viewer: the polylines that it sees, in the order of its tokens, and the agents that it is asked about."""

    agents: Int[np.ndarray, " seen_agents"]
    lanes: Int[np.ndarray, " seen_lanes"]
    poses: Float32[np.ndarray, "seen 4"]
    rows: Int[np.ndarray, " rows"]
    row_agents: Int[np.ndarray, " rows"]
    neighbours: Int[np.ndarray, "seen neighbours"]


def make_views(
    scenarios: Sequence[VectorizedScenario],
    targets: Sequence[Int[np.ndarray, " _"]],
    *,
    view: View = "agent",
    max_tokens: int = 96,
    turn_rad: Sequence[float] | None = None,
) -> dict[str, np.ndarray]:
    """Views of the target agents of each scenario: the arrays of a `VectorBatch`, by their names in it.

    Args:
        scenarios: At least one, all with the same number of history steps.
        targets: For each scenario, rows of the agents to predict. None of them may be empty.
        view: Who looks.
        max_tokens: In the agent view each viewer, in the pairwise view each polyline sees this many polylines: those
            nearest to where it will be. The scene view has no such limit.
        turn_rad: For each scenario, an angle by which the views are turned (augmentation). Futures stay as they are,
            since each is written in its own agent's frame.
    """
    views: list[tuple[int, _Viewer]] = []
    for index, (scenario, wanted) in enumerate(zip(scenarios, targets, strict=True)):
        turn = 0.0 if turn_rad is None else turn_rad[index]
        if view != "agent":
            views.append((index, _scene_view(scenario, wanted, turn, max_tokens if view == "pairwise" else 0)))
        else:
            views.extend((index, _agent_view(scenario, int(agent), turn, max_tokens)) for agent in wanted)
    return _pad(scenarios, views)


def _scene_view(
    scenario: VectorizedScenario, targets: Int[np.ndarray, " targets"], turn_rad: float, neighbours: int
) -> _Viewer:
    agents, lanes = np.arange(len(scenario.agents)), lanes_in_reach(scenario)
    view = turned(scenario.agent_poses[scenario.focal], turn_rad)
    poses = poses_in_view(np.concatenate([scenario.agent_poses, scenario.lane_poses[lanes]]), view)
    seen = _neighbours(scenario, lanes, neighbours)
    return _Viewer(agents, lanes, poses, rows=targets, row_agents=targets, neighbours=seen)


def _neighbours(
    scenario: VectorizedScenario, lanes: Int[np.ndarray, " seen_lanes"], count: int
) -> Int[np.ndarray, "seen neighbours"]:
    """For all agents and these lanes, the polylines nearest to where each will be: itself, and then nearest first."""
    if count == 0:
        return np.zeros((len(scenario.agents) + len(lanes), 0), np.int64)
    x, y, cos, sin = scenario.agent_poses.T
    ahead = np.linalg.norm(scenario.agent_velocities, axis=-1) * LOOK_AHEAD_S
    centres = np.concatenate([np.column_stack([x + ahead * cos, y + ahead * sin]), scenario.lane_poses[lanes, :2]])
    to_lanes = np.full((len(centres), len(lanes)), np.inf, np.float32)
    for points in scenario.lane_points[lanes].swapaxes(0, 1):
        np.minimum(to_lanes, squared_m(centres, points), out=to_lanes)
    distance = np.concatenate([squared_m(centres, scenario.agent_poses[:, :2]), to_lanes], axis=1)
    return nearest(distance, min(count, len(centres)), itself=True)


def nearest(distance: Float32[np.ndarray, "n m"], count: int, itself: bool = False) -> Int[np.ndarray, "n {count}"]:
    """Columns of each row's least values, of equal ones the first: a stable sort's beginning.

    A distance's bits, read as a whole number, are in the distances' order, and with the column behind them no two are
    equal. So it does not matter which of NumPy's partitions finds the least.

    Args:
        distance: At least 0; squares do.
        count: How many columns; at most all.
        itself: Whether row i begins with column i, whatever its distance.
    """
    if count == 0:
        return np.zeros((len(distance), 0), np.int64)
    order = (distance.view(np.uint32).astype(np.int64) << 32) | np.arange(distance.shape[1])
    if itself:
        np.fill_diagonal(order, np.arange(min(order.shape)) - 2**32)
    least = np.partition(order, count - 1, axis=1)[:, :count]
    return np.sort(least, axis=1) & (2**32 - 1)


def squared_m(a: Float32[np.ndarray, "n 2"], b: Float32[np.ndarray, "m 2"]) -> Float32[np.ndarray, "n m"]:
    """Squares of the distances between two sets of points."""
    return (a[:, :1] - b[:, 0]) ** 2 + (a[:, 1:] - b[:, 1]) ** 2


def lanes_in_reach(scenario: VectorizedScenario) -> Int[np.ndarray, " seen_lanes"]:
    """Lanes beside the way of the focal agent or a moving one, if each goes on at its present velocity."""
    moves = np.linalg.norm(scenario.agent_velocities, axis=-1) > MOVING_M_S
    moves[scenario.focal] = True
    x, y, cos, sin = scenario.agent_poses[moves].T
    ahead, left = scenario.agent_velocities[moves].T
    elapsed_s = np.array(REACH_S, np.float32)[:, None]
    way_x = (x + elapsed_s * (cos * ahead - sin * left)).ravel()
    way_y = (y + elapsed_s * (sin * ahead + cos * left)).ravel()
    ways, nearest_m2 = np.column_stack([way_x, way_y]), np.full(len(scenario.lane_points), np.inf, np.float32)
    for points in scenario.lane_points.swapaxes(0, 1):  # all at once they would take some hundred megabytes
        np.minimum(nearest_m2, squared_m(points, ways).min(axis=1), out=nearest_m2)
    return np.flatnonzero(nearest_m2 < REACH_M**2)


def _agent_view(scenario: VectorizedScenario, agent: int, turn_rad: float, max_tokens: int) -> _Viewer:
    x, y, cos, sin = pose = scenario.agent_poses[agent]
    ahead = float(np.linalg.norm(scenario.agent_velocities[agent])) * LOOK_AHEAD_S
    centre = np.array([x + ahead * cos, y + ahead * sin], np.float32)
    to_agents = ((scenario.agent_poses[:, :2] - centre) ** 2).sum(-1)
    to_agents[agent] = -1.0  # the agent itself is always the first token
    to_lanes = ((scenario.lane_points - centre) ** 2).sum(-1).min(-1, initial=np.inf)
    seen = np.argsort(np.concatenate([to_agents, to_lanes]), kind="stable")[:max_tokens]
    agents = seen[seen < len(to_agents)]
    lanes = seen[seen >= len(to_agents)] - len(to_agents)
    view = turned(pose, turn_rad)
    poses = poses_in_view(np.concatenate([scenario.agent_poses[agents], scenario.lane_poses[lanes]]), view)
    return _Viewer(
        agents,
        lanes,
        poses,
        rows=np.zeros(1, np.int64),
        row_agents=np.array([agent]),
        neighbours=np.zeros((len(poses), 0), np.int64),
    )


def turned(pose: Float32[np.ndarray, " 4"], turn_rad: float) -> Float32[np.ndarray, " 4"]:
    """A pose (x, y, cos, sin) with another heading."""
    x, y, cos, sin = pose
    turn_cos, turn_sin = np.cos(turn_rad), np.sin(turn_rad)
    return np.array([x, y, cos * turn_cos - sin * turn_sin, sin * turn_cos + cos * turn_sin], np.float32)


def poses_in_view(
    poses: Float32[np.ndarray, "polylines 4"], view: Float32[np.ndarray, " 4"]
) -> Float32[np.ndarray, "polylines 4"]:
    """Poses of the scene frame, in a view's frame."""
    x, y, cos, sin = view
    dx, dy = poses[:, 0] - x, poses[:, 1] - y
    return np.column_stack([
        cos * dx + sin * dy, cos * dy - sin * dx,
        cos * poses[:, 2] + sin * poses[:, 3], cos * poses[:, 3] - sin * poses[:, 2],
    ])  # fmt: skip


def _pad(scenarios: Sequence[VectorizedScenario], views: Sequence[tuple[int, _Viewer]]) -> dict[str, np.ndarray]:
    first_agent = np.cumsum([0] + [len(s.agents) for s in scenarios])
    first_lane = np.cumsum([first_agent[-1]] + [len(s.lane_poses) for s in scenarios])
    polylines = [
        np.concatenate([first_agent[index] + view.agents, first_lane[index] + view.lanes]) for index, view in views
    ]
    seen = np.zeros(first_lane[-1], bool)
    seen[np.concatenate(polylines)] = True
    position_among_seen = np.cumsum(seen) - 1
    seen_agents, seen_lanes = seen[: first_agent[-1]], seen[first_agent[-1] :]

    def take(name: str, rows: Bool[np.ndarray, " rows"]) -> np.ndarray:
        return np.concatenate([getattr(scenario, name) for scenario in scenarios])[rows]

    def of_rows(name: str) -> np.ndarray:
        return stack([getattr(scenarios[index], name)[view.row_agents] for index, view in views])

    return {
        "agent_vectors": take("agent_vectors", seen_agents),
        "agent_vectors_valid": take("agent_vectors_valid", seen_agents),
        "agent_kinds": take("agent_kinds", seen_agents),
        "lane_vectors": take("lane_vectors", seen_lanes),
        "lane_rows": np.flatnonzero(seen_lanes),
        "token_index": stack([position_among_seen[tokens] for tokens in polylines]),
        "token_poses": stack([view.poses for _, view in views]),
        "token_valid": stack([np.ones(len(view.poses), bool) for _, view in views]),
        "neighbours_index": stack([view.neighbours for _, view in views]),
        "neighbours_valid": stack([np.ones(view.neighbours.shape, bool) for _, view in views]),
        "rows": stack([view.rows for _, view in views]),
        "rows_valid": stack([np.ones(len(view.rows), bool) for _, view in views]),
        "row_velocities": of_rows("agent_velocities"),
        "futures": of_rows("futures"),
        "futures_valid": of_rows("futures_valid"),
        "view_scenario": np.array([index for index, _ in views]),
        "row_agents": stack([view.row_agents for _, view in views]),
    }


def stack(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays along a new first axis, each filled up with 0 to the largest along every other."""
    stacked = np.zeros((len(arrays), *np.max([array.shape for array in arrays], axis=0)), arrays[0].dtype)
    for place, array in zip(stacked, arrays, strict=True):
        place[tuple(slice(size) for size in array.shape)] = array
    return stacked
