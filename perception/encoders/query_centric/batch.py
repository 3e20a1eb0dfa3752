"""Scenes as the tensors that the query-centric encoder reads, as its input makes them."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float32, Int
from torch import Tensor

from perception.batches import TensorRecord
from perception.tokens import Readout


@dataclass(frozen=True)
class GraphBatch(TensorRecord):
    """Scenes as one graph without edges between scenes.

    The elements are the agents of all scenes and then the lanes of all scenes. Only the tokens and the rows to read are
    padded, to the most of a scene.

    Attributes:
        agent_vectors: See `perception.encoders.vectornet.vectorize.AGENT_FEATURES`.
        agent_vectors_valid: True where both ends of a vector were observed.
        agent_kinds: `AgentKind` values.
        agent_poses: x, y (metres), cos, sin of each agent's frame in its scene's.
        lane_vectors: See `perception.encoders.vectornet.vectorize.LANE_FEATURES`.
        lane_poses: x, y (metres), cos, sin of each lane's frame in its scene's.
        lane_rows: Which of the scenarios' lanes, counted over all scenarios, these are.
        agent_neighbours: Elements that each agent attends to.
        agent_neighbours_valid: False where there are no more.
        lane_neighbours: Elements that each lane attends to.
        lane_neighbours_valid: False where there are no more.
        token_index: Which element a token is. Agents stand first in each scene.
        token_valid: False where a scene has fewer tokens.
        rows: Tokens of the predicted agents.
        rows_valid: False where a scene has fewer predicted agents.
        row_velocities: Present velocity of the predicted agents, each in its own frame, m/s.
        futures: Future of the predicted agents, each in its own present frame, metres.
        futures_valid: Where it is labelled.
    """

    agent_vectors: Float32[Tensor, "agents history_vectors agent_features"]
    agent_vectors_valid: Bool[Tensor, "agents history_vectors"]
    agent_kinds: Int[Tensor, " agents"]
    agent_poses: Float32[Tensor, "agents 4"]
    lane_vectors: Float32[Tensor, "lanes lane_vectors lane_features"]
    lane_poses: Float32[Tensor, "lanes 4"]
    lane_rows: Int[Tensor, " lanes"]
    agent_neighbours: Int[Tensor, "agents agent_neighbours"]
    agent_neighbours_valid: Bool[Tensor, "agents agent_neighbours"]
    lane_neighbours: Int[Tensor, "lanes lane_neighbours"]
    lane_neighbours_valid: Bool[Tensor, "lanes lane_neighbours"]
    token_index: Int[Tensor, "scenes tokens"]
    token_valid: Bool[Tensor, "scenes tokens"]
    rows: Int[Tensor, "scenes rows"]
    rows_valid: Bool[Tensor, "scenes rows"]
    row_velocities: Float32[Tensor, "scenes rows 2"]
    futures: Float32[Tensor, "scenes rows future_steps 2"]
    futures_valid: Bool[Tensor, "scenes rows future_steps"]

    @property
    def readout(self) -> Readout:
        """The rows of the predicted agents."""
        return Readout(self.rows, self.rows_valid)
