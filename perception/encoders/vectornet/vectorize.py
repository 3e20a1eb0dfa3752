"""Scenarios to vectors: every agent and lane a polyline in its own frame, and where that frame lies in the scene.

VectorNet (https://arxiv.org/abs/2005.04259, §3.1) writes all polylines in the target agent's frame. Here each is
written in its *own* frame, and only the pose of that frame depends on who looks. What the sub-graph network makes of a
polyline is then the same for every viewer, so it is computed once for all predicted agents of a scene, and may be kept
while the map stays the same. A *view* (`perception.encoders.vectornet.views`) adds the poses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from perception.geometry import SE2
from perception.traffic.scenario import STEP_S, MapPolylines, PolylineKind, Scenario, Turn

AGENT_FEATURES = 10
"""Features of an agent's vector, in the agent's present frame: start x, y; displacement x, y; deviation of start and
displacement from a past at the present velocity, x, y each; time of its end; speed."""
LANE_FEATURES = 12
"""Features of a lane's vector: start x, y, displacement x, y in the lane's frame, turn left, turn right, intersection,
traffic control, four kinds."""
POSITION_SCALE = 0.1
"""Decametres, so that positions and displacements reach the first layer at about unit size."""
CHANGE_SCALE = 5.0
"""A displacement changes by decimetres a step; this brings the change to about unit size."""
VELOCITY_STEPS = 5
"""An agent's present velocity is its mean over this many steps, which evens out the noise of tracked positions."""


@dataclass(frozen=True)
class VectorizedScenario:
    """A scenario as the network sees it, before anybody's view is chosen.

    The scene frame is the focal agent's present pose. Agents that are not seen at the present step are left out.

    Attributes:
        id: The scenario's id.
        city_SE2_scene: Takes scene-frame points to the city frame.
        agents: Which agents of the scenario these are, in order.
        agent_vectors: Between consecutive observed steps, see `AGENT_FEATURES`.
        agent_vectors_valid: True where both ends of a vector were observed.
        agent_kinds: `AgentKind` values.
        agent_poses: x, y (metres), cos, sin of each agent's present pose in the scene frame.
        agent_velocities: Mean over the last `VELOCITY_STEPS` in each agent's present frame, m/s.
        lane_vectors: Between consecutive points of a polyline, see `LANE_FEATURES`.
        lane_poses: The lane frames (middle point, direction there) in the scene frame.
        lane_points: Scene frame, metres: for choosing which lanes a view sees.
        futures: Each agent's future in its own present frame, metres.
        futures_valid: Where the future is labelled.
        scored: Agents that the benchmark scores.
        focal: Row of the focal agent.
    """

    id: str
    city_SE2_scene: SE2
    agents: Int[np.ndarray, " agents"]
    agent_vectors: Float32[np.ndarray, "agents history_vectors agent_features"]
    agent_vectors_valid: Bool[np.ndarray, "agents history_vectors"]
    agent_kinds: Int[np.ndarray, " agents"]
    agent_poses: Float32[np.ndarray, "agents 4"]
    agent_velocities: Float32[np.ndarray, "agents 2"]
    lane_vectors: Float32[np.ndarray, "lanes lane_vectors lane_features"]
    lane_poses: Float32[np.ndarray, "lanes 4"]
    lane_points: Float32[np.ndarray, "lanes lane_points 2"]
    futures: Float32[np.ndarray, "agents future_steps 2"]
    futures_valid: Bool[np.ndarray, "agents future_steps"]
    scored: Bool[np.ndarray, " agents"]
    focal: int


def vectorize(scenario: Scenario) -> VectorizedScenario:
    """Writes every agent and lane of a scenario in its own frame.

    Raises:
        UnusableScenario: The focal agent is not observed at the present step, so the scene has no frame.
    """
    present, tracks = scenario.present, scenario.agents
    scenario.require_focal()
    agents = np.flatnonzero(tracks.valid[:, present])
    city_SE2_scene = scenario.city_SE2_agent(scenario.focal)
    scene_SE2_city = city_SE2_scene.inverse()
    position = scene_SE2_city.apply(tracks.position[agents])
    heading = tracks.heading[agents, present] - city_SE2_scene.heading_rad
    local = _rotate(position - position[:, None, present], -heading[:, None])
    valid = tracks.valid[agents]
    velocities = _mean_velocities(local[:, : present + 1], valid[:, : present + 1])
    lane_points = scene_SE2_city.apply(scenario.map.points)
    lane_vectors, lane_poses = vectorize_lanes(scenario.map, lane_points)
    return VectorizedScenario(
        id=scenario.id,
        city_SE2_scene=city_SE2_scene,
        agents=agents,
        agent_vectors=_agent_vectors(local[:, : present + 1], valid[:, : present + 1], velocities),
        agent_vectors_valid=valid[:, :present] & valid[:, 1 : present + 1],
        agent_kinds=tracks.kinds[agents].astype(np.int64),
        agent_poses=_poses(position[:, present], heading),
        agent_velocities=velocities.astype(np.float32),
        lane_vectors=lane_vectors,
        lane_poses=lane_poses,
        lane_points=lane_points.astype(np.float32),
        futures=np.where(valid[:, present + 1 :, None], local[:, present + 1 :], 0).astype(np.float32),
        futures_valid=valid[:, present + 1 :],
        scored=tracks.scored[agents],
        focal=int(np.flatnonzero(agents == scenario.focal)[0]),
    )


def mirror(scenario: VectorizedScenario) -> VectorizedScenario:
    """The scenario with left and right exchanged, for augmentation. `city_SE2_scene` no longer leads to the city."""
    y_of = {"agent_vectors": (1, 3, 5, 7), "agent_poses": (1, 3), "lane_vectors": (1, 3), "lane_poses": (1, 3),
            "lane_points": (1,), "agent_velocities": (1,), "futures": (1,)}  # fmt: skip
    mirrored = {}
    for name, columns in y_of.items():
        mirrored[name] = getattr(scenario, name).copy()
        mirrored[name][..., columns] *= -1
    turn_left, turn_right = 4, 5
    mirrored["lane_vectors"][..., [turn_left, turn_right]] = scenario.lane_vectors[..., [turn_right, turn_left]]
    return replace(scenario, **mirrored)


def _rotate(points: Float[np.ndarray, "*n 2"], angle: Float[np.ndarray, "*m"]) -> Float[np.ndarray, "*n 2"]:
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = points[..., 0], points[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def _poses(position: Float[np.ndarray, "n 2"], heading: Float[np.ndarray, " n"]) -> Float32[np.ndarray, "n 4"]:
    return np.column_stack([position, np.cos(heading), np.sin(heading)]).astype(np.float32)


def _agent_vectors(
    local: Float[np.ndarray, "agents history 2"],
    valid: Bool[np.ndarray, "agents history"],
    velocities: Float[np.ndarray, "agents 2"],
) -> Float32[np.ndarray, "agents vectors features"]:
    displacement = np.diff(local, axis=1)
    elapsed_s = STEP_S * np.arange(1 - local.shape[1], 0)
    start_deviation = local[:, :-1] - velocities[:, None] * elapsed_s[:, None]
    change = displacement - velocities[:, None] * STEP_S
    time = np.broadcast_to(elapsed_s + STEP_S, displacement.shape[:2])
    speed = np.linalg.norm(displacement, axis=-1)
    vectors = np.dstack(
        [local[:, :-1] * POSITION_SCALE, displacement, start_deviation, change * CHANGE_SCALE, time, speed]
    )
    return np.where((valid[:, :-1] & valid[:, 1:])[..., None], vectors, 0).astype(np.float32)


def _mean_velocities(
    local: Float[np.ndarray, "agents history 2"], valid: Bool[np.ndarray, "agents history"]
) -> Float[np.ndarray, "agents 2"]:
    """From the first step observed in the window to the present; 0 for an agent first seen at the present."""
    window = min(VELOCITY_STEPS, local.shape[1] - 1)
    first = local.shape[1] - 1 - window + valid[:, -window - 1 :].argmax(axis=1)
    elapsed_s = (local.shape[1] - 1 - first) * STEP_S
    displacement = local[:, -1] - np.take_along_axis(local, first[:, None, None], axis=1)[:, 0]
    return displacement / np.maximum(elapsed_s, STEP_S)[:, None]


def vectorize_lanes(
    lanes: MapPolylines, points: Float[np.ndarray, "lanes points 2"]
) -> tuple[Float32[np.ndarray, "lanes vectors features"], Float32[np.ndarray, "lanes 4"]]:
    """Every lane in its own frame, and the pose of that frame where its points are given.

    The vectors are the same in whatever frame the points are, to rounding.

    Args:
        lanes: What they are.
        points: Where they are, metres.
    """
    count, per_lane = points.shape[:2]
    middle = per_lane // 2
    tangent = points[:, middle] - points[:, middle - 1]
    heading = np.arctan2(tangent[:, 1], tangent[:, 0])
    local = _rotate(points - points[:, None, middle], -heading[:, None])
    attributes = np.column_stack(
        [lanes.turns == Turn.LEFT, lanes.turns == Turn.RIGHT, lanes.is_intersection, lanes.has_traffic_control]
        + [lanes.kinds == kind for kind in PolylineKind]
    )
    repeated = np.broadcast_to(attributes[:, None], (count, per_lane - 1, attributes.shape[1]))
    vectors = np.dstack([local[:, :-1] * POSITION_SCALE, np.diff(local, axis=1) * POSITION_SCALE, repeated])
    return vectors.astype(np.float32), _poses(points[:, middle], heading)
