"""A scene as a graph: which agents and lanes each agent and each lane attends to.

What lies near to what does not depend on who asks, so it is found once for a scenario. The numbers of neighbours are
fixed, of agents and of lanes apart: in a crowd the lanes would otherwise go unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Int

from perception.encoders.vectornet.vectorize import VectorizedScenario
from perception.encoders.vectornet.views import REACH_S, lanes_in_reach, nearest, squared_m


@dataclass(frozen=True)
class Neighbourhood:
    """What each row attends to, of a scene's elements: all agents, and then all lanes.

    Attributes:
        index: Elements; 0 where there are no more.
        valid: False where there are no more.
    """

    index: Int[np.ndarray, "rows neighbours"]
    valid: Bool[np.ndarray, "rows neighbours"]


@dataclass(frozen=True)
class SceneGraph:
    """A scenario with its edges.

    Attributes:
        scenario: Its vectors; of the lanes those that some agent may reach.
        lanes: Which of the scenario's lanes these are.
        lane_count: How many lanes the scenario has.
        of_agents: What each agent attends to.
        of_lanes: What each lane attends to.
    """

    scenario: VectorizedScenario
    lanes: Int[np.ndarray, " lanes"]
    lane_count: int
    of_agents: Neighbourhood
    of_lanes: Neighbourhood


def connect(scenario: VectorizedScenario, max_agents: int, max_lanes: int) -> SceneGraph:
    """The graph of a scene, with the lanes that the focal agent or a moving one may reach.

    Agents attend to the agents nearest to them, beginning with themselves, and to the lanes nearest to where they are
    or will be. Lanes attend to half as many: those nearest to their ends and middle.

    Args:
        scenario: The scene's vectors.
        max_agents: Number of agents that an agent attends to.
        max_lanes: Number of lanes that an agent attends to.
    """
    lanes = lanes_in_reach(scenario)
    near = replace(
        scenario,
        lane_vectors=scenario.lane_vectors[lanes],
        lane_poses=scenario.lane_poses[lanes],
        lane_points=scenario.lane_points[lanes],
    )
    agents, points = near.agent_poses[:, :2], near.lane_points
    ends = [points[:, place] for place in (0, points.shape[1] // 2, -1)]
    of_agents = _neighbourhood(squared_m(agents, agents), max_agents, _to_lanes(_ways(near), points), max_lanes)
    to_agents = np.minimum.reduce([squared_m(place, agents) for place in ends])
    of_lanes = _neighbourhood(to_agents, max_agents // 2, _to_lanes(ends, points), max_lanes // 2)
    return SceneGraph(near, lanes, len(scenario.lane_poses), of_agents, of_lanes)


def _ways(scenario: VectorizedScenario) -> list[Float32[np.ndarray, "agents 2"]]:
    """Where each agent is and will be, if it goes on at its present velocity."""
    x, y, cos, sin = scenario.agent_poses.T
    ahead, left = scenario.agent_velocities.T
    to_x, to_y = cos * ahead - sin * left, sin * ahead + cos * left
    return [np.column_stack([x + elapsed_s * to_x, y + elapsed_s * to_y]) for elapsed_s in REACH_S]


def _to_lanes(
    places: Sequence[Float32[np.ndarray, "rows 2"]], lane_points: Float32[np.ndarray, "lanes points 2"]
) -> Float32[np.ndarray, "rows lanes"]:
    """Squared distance of each row's places from the nearest point of each lane."""
    distance = np.full((len(places[0]), len(lane_points)), np.inf, np.float32)
    for points in lane_points.swapaxes(0, 1):  # all at once they would take some hundred megabytes
        for place in places:
            np.minimum(distance, squared_m(place, points), out=distance)
    return distance


def _neighbourhood(
    to_agents: Float32[np.ndarray, "rows agents"],
    max_agents: int,
    to_lanes: Float32[np.ndarray, "rows lanes"],
    max_lanes: int,
) -> Neighbourhood:
    """The nearest of each kind."""
    index = np.zeros((len(to_agents), max_agents + max_lanes), np.int32)
    valid = np.zeros(index.shape, bool)
    for distance, first_element, first, most in (
        (to_agents, 0, 0, max_agents),
        (to_lanes, to_agents.shape[1], max_agents, max_lanes),
    ):
        count = min(most, distance.shape[1])
        index[:, first : first + count] = first_element + nearest(distance, count)
        valid[:, first : first + count] = True
    return Neighbourhood(index, valid)
