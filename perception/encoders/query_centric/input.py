"""What the query-centric encoder reads: the elements of all scenes of a batch one after another, and their edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from torch import Tensor

from perception.batches import TensorRecord
from perception.encoders.query_centric.graph import Neighbourhood, SceneGraph, connect
from perception.encoders.vectornet.input import POLYLINE_STEP, rows_of
from perception.encoders.vectornet.vectorize import mirror, vectorize
from perception.encoders.vectornet.views import stack
from perception.tokens import Readout
from perception.traffic.augmentation import NO_AUGMENTATION, Augmentation
from perception.traffic.scenario import Scenario


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


class GraphInput:
    """Turns scenarios into a `GraphBatch`.

    Args:
        neighbours: Number of elements that an agent attends to, a quarter of them agents; a lane attends to half of it.
    """

    def __init__(self, neighbours: int = 32) -> None:
        self.max_agents = max(neighbours // 4, 1)
        self.max_lanes = max(neighbours - self.max_agents, 1)

    def prepare(self, scenario: Scenario) -> SceneGraph:
        """The scenario's vectors and edges."""
        return connect(vectorize(scenario), self.max_agents, self.max_lanes)

    def collate(
        self,
        prepared: Sequence[SceneGraph],
        agents: Sequence[Int[np.ndarray, " _"]],
        augmentations: Sequence[Augmentation] | None = None,
    ) -> GraphBatch:
        """Scenes with the agents asked about; see `ForecastInput.collate`. Turning a scene changes nothing."""
        augmented = augmentations or [NO_AUGMENTATION] * len(prepared)
        graphs = [
            replace(graph, scenario=mirror(graph.scenario)) if augmentation.mirrored else graph
            for graph, augmentation in zip(prepared, augmented, strict=True)
        ]
        rows = [rows_of(graph.scenario, wanted) for graph, wanted in zip(graphs, agents, strict=True)]
        return _join(graphs, rows)

    def warm_up_agents(self, most: int) -> range:
        """One number of agents for each size that kernels are written for."""
        return range(1, most + 1, POLYLINE_STEP)


def _join(graphs: Sequence[SceneGraph], rows: Sequence[Int[np.ndarray, " _"]]) -> GraphBatch:
    """All scenes as one graph."""
    agents, lanes = [len(g.scenario.agents) for g in graphs], [len(g.lanes) for g in graphs]
    first_agent, first_lane = _starts(agents), sum(agents) + _starts(lanes)
    elements = [
        np.concatenate([agent + np.arange(own_agents), lane + np.arange(own_lanes)])
        for agent, own_agents, lane, own_lanes in zip(first_agent, agents, first_lane, lanes, strict=True)
    ]

    def of_all(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(graph.scenario, name) for graph in graphs]))

    def of_rows(name: str) -> Tensor:
        return stack([getattr(graph.scenario, name)[wanted] for graph, wanted in zip(graphs, rows, strict=True)])

    def edges(parts: Sequence[Neighbourhood]) -> tuple[Tensor, Tensor]:
        index = np.concatenate([own[part.index] for own, part in zip(elements, parts, strict=True)])
        return torch.from_numpy(index), torch.from_numpy(np.concatenate([part.valid for part in parts]))

    of_agents, of_lanes = edges([g.of_agents for g in graphs]), edges([g.of_lanes for g in graphs])
    lane_rows = [first + g.lanes for first, g in zip(_starts([g.lane_count for g in graphs]), graphs, strict=True)]
    return GraphBatch(
        agent_vectors=of_all("agent_vectors"),
        agent_vectors_valid=of_all("agent_vectors_valid"),
        agent_kinds=of_all("agent_kinds"),
        agent_poses=of_all("agent_poses"),
        lane_vectors=of_all("lane_vectors"),
        lane_poses=of_all("lane_poses"),
        lane_rows=torch.from_numpy(np.concatenate(lane_rows)),
        agent_neighbours=of_agents[0],
        agent_neighbours_valid=of_agents[1],
        lane_neighbours=of_lanes[0],
        lane_neighbours_valid=of_lanes[1],
        token_index=stack(elements),
        token_valid=stack([np.ones(len(own), bool) for own in elements]),
        rows=stack([np.asarray(wanted) for wanted in rows]),
        rows_valid=stack([np.ones(len(wanted), bool) for wanted in rows]),
        row_velocities=of_rows("agent_velocities"),
        futures=of_rows("futures"),
        futures_valid=of_rows("futures_valid"),
    )


def _starts(counts: Sequence[int]) -> Int[np.ndarray, " counts"]:
    """Where each of several parts begins."""
    return np.cumsum([0, *counts[:-1]])
