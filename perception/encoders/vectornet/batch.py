"""Views as the tensors that VectorNet reads; `perception.encoders.vectornet.views` makes them as arrays."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float32, Int
from torch import Tensor

from perception.attention import Neighbours
from perception.batches import TensorRecord
from perception.tokens import Readout


@dataclass(frozen=True)
class VectorBatch(TensorRecord):
    """Scenarios and views as tensors.

    Polylines are ragged: those that any view sees stand one after another, all agents before all lanes.
    Only the views are padded, to the most tokens and the most rows among them.

    Attributes:
        agent_vectors: See `perception.encoders.vectornet.vectorize.AGENT_FEATURES`.
        agent_vectors_valid: True where both ends of a vector were observed.
        agent_kinds: `AgentKind` values.
        lane_vectors: See `perception.encoders.vectornet.vectorize.LANE_FEATURES`.
        lane_rows: Which of the scenarios' lanes, counted over all scenarios, these are.
        token_index: Which polyline a token is, counted over agents and then lanes. Agents stand first in each view.
        token_poses: x, y (metres), cos, sin of the polyline's frame in the view's frame.
        token_valid: False where a view has fewer tokens.
        neighbours: In the pairwise view, the tokens that each token sees, itself first; none in the others.
        rows: Tokens of the predicted agents.
        rows_valid: False where a view has fewer predicted agents.
        row_velocities: Present velocity of the predicted agents, each in its own frame, m/s.
        futures: Future of the predicted agents, each in its own present frame, metres.
        futures_valid: Where it is labelled.
        view_scenario: Which scenario of the batch a view is of.
        row_agents: Row of the predicted agent among its `VectorizedScenario`'s agents.
    """

    agent_vectors: Float32[Tensor, "agents history_vectors agent_features"]
    agent_vectors_valid: Bool[Tensor, "agents history_vectors"]
    agent_kinds: Int[Tensor, " agents"]
    lane_vectors: Float32[Tensor, "lanes lane_vectors lane_features"]
    lane_rows: Int[Tensor, " lanes"]
    token_index: Int[Tensor, "views tokens"]
    token_poses: Float32[Tensor, "views tokens 4"]
    token_valid: Bool[Tensor, "views tokens"]
    neighbours: Neighbours
    rows: Int[Tensor, "views rows"]
    rows_valid: Bool[Tensor, "views rows"]
    row_velocities: Float32[Tensor, "views rows 2"]
    futures: Float32[Tensor, "views rows future_steps 2"]
    futures_valid: Bool[Tensor, "views rows future_steps"]
    view_scenario: Int[Tensor, " views"]
    row_agents: Int[Tensor, "views rows"]

    @property
    def readout(self) -> Readout:
        """The rows of the predicted agents."""
        return Readout(self.rows, self.rows_valid)
