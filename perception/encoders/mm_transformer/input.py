"""What mmTransformer reads: histories and lanes in the frame of one agent, which looks along +y.

Features, limits and their order are those of the released preprocessing (decisionforce/mmTransformer,
`lib/dataset`). Three things differ. The scene is turned by the agent's present heading; the released code fits a line
to the history by linear regression, which has no slope for an agent that drives along y, and there stops in the
debugger. An agent with three observed steps or fewer is seen too: its mask says which vectors are real. And of more
agents or lanes than the released code's arrays hold the nearest are taken, not the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Float32, Int

from perception.encoders.vectornet.input import rows_of
from perception.encoders.vectornet.vectorize import VectorizedScenario, mirror, vectorize
from perception.encoders.vectornet.views import poses_in_view, stack, turned
from perception.traffic.augmentation import NO_AUGMENTATION, Augmentation
from perception.traffic.scenario import STEP_S, Scenario

if TYPE_CHECKING:
    from perception.encoders.mm_transformer.batch import SceneBatch

HISTORY_FEATURES = 4
"""Displacement x, y in metres; seconds from the first vector's start to its middle; whether both ends were observed."""
LANE_FEATURES = 7
"""Start x, y, end x, y in metres; intersection (1, or 2 in one); turn (1, 2 left, 3 right); control (1, or 2)."""
AGENTS_WITHIN_M, LANES_WITHIN_M = 56.0, 65.0
"""Distance of the agents (Euclidean) and of a lane's nearest point (Manhattan) that an agent sees."""
MAX_AGENTS, MAX_LANES = 68, 248
"""Most agents and lanes of a view: those of the released arrays, the maxima over Argoverse 1."""
TURN_LEFT, TURN_RIGHT, INTERSECTION, CONTROL = 4, 5, 6, 7
"""Columns of a vectorised lane, see `perception.encoders.vectornet.vectorize.LANE_FEATURES`."""

SceneView = Literal["agent", "scene"]


class SceneInput:
    """Turns scenarios into the arrays of a `SceneBatch`; imports PyTorch only for the batch itself.

    Args:
        view: Whose frame a scene is seen in: that of each agent asked about, or of the focal one.
        history_vectors: Number of vectors of a history; a shorter one begins with vectors that were not observed.
    """

    def __init__(self, view: SceneView = "agent", history_vectors: int = 19) -> None:
        self.view: SceneView = view
        self.history_vectors = history_vectors

    def prepare(self, scenario: Scenario) -> VectorizedScenario:
        """The scenario's vectors, as VectorNet has them."""
        return vectorize(scenario)

    def arrays(
        self,
        prepared: Sequence[VectorizedScenario],
        agents: Sequence[Int[np.ndarray, " _"]],
        augmentations: Sequence[Augmentation] | None = None,
    ) -> dict[str, np.ndarray]:
        """Views of the agents asked about, as arrays; see `ForecastInput`."""
        views: list[dict[str, np.ndarray]] = []
        for scenario, wanted, augmentation in zip(
            prepared, agents, augmentations or [NO_AUGMENTATION] * len(prepared), strict=True
        ):
            seen = mirror(scenario) if augmentation.mirrored else scenario
            rows = rows_of(scenario, wanted)
            for asked in rows[:, None] if self.view == "agent" else [rows]:
                viewer = int(asked[0]) if self.view == "agent" else scenario.focal
                views.append(_see(seen, viewer, asked, augmentation.turn_rad, self.history_vectors))
        return {name: stack([view[name] for view in views]) for name in views[0]}

    def collate(
        self,
        prepared: Sequence[VectorizedScenario],
        agents: Sequence[Int[np.ndarray, " _"]],
        augmentations: Sequence[Augmentation] | None = None,
    ) -> SceneBatch:
        """The same as tensors; see `ForecastInput.collate`."""
        from perception.encoders.mm_transformer.batch import SceneBatch

        return SceneBatch.of(self.arrays(prepared, agents, augmentations))

    def warm_up_agents(self, most: int) -> range:
        """One agent: tensors are as large as their scene, whatever is asked about."""
        return range(1, min(most, 1) + 1)


def _see(
    scenario: VectorizedScenario, viewer: int, asked: Int[np.ndarray, " asked"], turn_rad: float, history_vectors: int
) -> dict[str, np.ndarray]:
    """The arrays of one view, without padding, by their names in `SceneBatch`."""
    view = turned(scenario.agent_poses[viewer], turn_rad - np.pi / 2)  # so that its +y is the viewer's heading
    agents = _agents_near(scenario, view, asked)
    poses = poses_in_view(scenario.agent_poses[agents], view)
    lanes, features = _lanes_near(scenario, view)
    place = np.empty(len(scenario.agents), np.int64)
    place[agents] = np.arange(len(agents))
    return {
        "histories": _histories(scenario, agents, poses, history_vectors),
        "positions": poses[:, :2],
        "agents_valid": np.ones(len(agents), bool),
        "lanes": features,
        "lanes_valid": lanes,
        "rows": place[asked],
        "rows_valid": np.ones(len(asked), bool),
        "row_headings": poses[place[asked], 2:],
        "row_velocities": scenario.agent_velocities[asked],
        "futures": scenario.futures[asked],
        "futures_valid": scenario.futures_valid[asked],
    }


def _agents_near(
    scenario: VectorizedScenario, view: Float32[np.ndarray, " 4"], asked: Int[np.ndarray, " asked"]
) -> Int[np.ndarray, " seen"]:
    """The agents asked about, and then the others from near to far."""
    away_m = np.linalg.norm(scenario.agent_poses[:, :2] - view[:2], axis=1)
    away_m[asked] = -1.0
    nearest = np.argsort(away_m, kind="stable")[: max(MAX_AGENTS, len(asked))]
    return nearest[away_m[nearest] <= AGENTS_WITHIN_M]


def _histories(
    scenario: VectorizedScenario,
    agents: Int[np.ndarray, " seen"],
    poses: Float32[np.ndarray, "seen 4"],
    count: int,
) -> Float32[np.ndarray, "seen {count} 4"]:
    """The newest vectors of each agent, turned from its own frame into the view's."""
    known = min(count, scenario.agent_vectors.shape[1])
    own = scenario.agent_vectors[agents, scenario.agent_vectors.shape[1] - known :, 2:4]
    cos, sin = poses[:, None, 2], poses[:, None, 3]
    histories = np.zeros((len(agents), count, HISTORY_FEATURES), np.float32)
    newest = histories[:, count - known :]
    newest[..., 0] = cos * own[..., 0] - sin * own[..., 1]
    newest[..., 1] = sin * own[..., 0] + cos * own[..., 1]
    histories[..., 2] = STEP_S * (np.arange(count) + 0.5)
    newest[..., 3] = scenario.agent_vectors_valid[agents, scenario.agent_vectors.shape[1] - known :]
    return histories


def _lanes_near(
    scenario: VectorizedScenario, view: Float32[np.ndarray, " 4"]
) -> tuple[Bool[np.ndarray, " seen"], Float32[np.ndarray, "seen lane_vectors lane_features"]]:
    """Which rows are lanes, and the lanes near the viewer; one row that is none where there are none."""
    points = scenario.lane_points
    away_m = np.abs(points - view[:2]).sum(-1).min(-1, initial=np.inf)
    nearest = np.argsort(away_m, kind="stable")[:MAX_LANES]
    nearest = np.sort(nearest[away_m[nearest] <= LANES_WITHIN_M])
    x, y, cos, sin = view
    dx, dy = points[nearest, :, 0] - x, points[nearest, :, 1] - y
    local = np.stack([cos * dx + sin * dy, cos * dy - sin * dx], axis=-1)
    flags = scenario.lane_vectors[nearest]
    turn = 1 + flags[..., TURN_LEFT] + 2 * flags[..., TURN_RIGHT]
    kinds = [1 + flags[..., INTERSECTION], turn, 1 + flags[..., CONTROL]]
    features = np.concatenate([local[:, :-1], local[:, 1:], np.stack(kinds, axis=-1)], axis=-1).astype(np.float32)
    if len(nearest):
        return np.ones(len(nearest), bool), features
    return np.zeros(1, bool), np.zeros((1, *features.shape[1:]), np.float32)
