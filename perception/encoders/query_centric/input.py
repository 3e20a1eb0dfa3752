"""What the query-centric encoder reads: the elements of all scenes of a batch one after another, and their edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from perception.encoders.query_centric.graph import Neighbourhood, SceneGraph, connect
from perception.encoders.vectornet.input import POLYLINE_STEP, rows_of
from perception.encoders.vectornet.vectorize import mirror, vectorize
from perception.encoders.vectornet.views import stack
from perception.traffic.augmentation import NO_AUGMENTATION, Augmentation
from perception.traffic.scenario import Scenario

if TYPE_CHECKING:
    from perception.encoders.query_centric.batch import GraphBatch


class GraphInput:
    """Turns scenarios into the arrays of a `GraphBatch`; imports PyTorch only for the batch itself.

    Args:
        max_tokens: Number of elements that an agent attends to, a quarter of them agents; a lane attends to half of it.
    """

    def __init__(self, max_tokens: int = 32) -> None:
        self.max_agents = max(max_tokens // 4, 1)
        self.max_lanes = max(max_tokens - self.max_agents, 1)

    def prepare(self, scenario: Scenario) -> SceneGraph:
        """The scenario's vectors and edges."""
        return connect(vectorize(scenario), self.max_agents, self.max_lanes)

    def arrays(
        self,
        prepared: Sequence[SceneGraph],
        agents: Sequence[Int[np.ndarray, " _"]],
        augmentations: Sequence[Augmentation] | None = None,
    ) -> dict[str, np.ndarray]:
        """Scenes with the agents asked about, as arrays; see `ForecastInput`. Turning a scene changes nothing."""
        augmented = augmentations or [NO_AUGMENTATION] * len(prepared)
        graphs = [
            replace(graph, scenario=mirror(graph.scenario)) if augmentation.mirrored else graph
            for graph, augmentation in zip(prepared, augmented, strict=True)
        ]
        rows = [rows_of(graph.scenario, wanted) for graph, wanted in zip(graphs, agents, strict=True)]
        return _join(graphs, rows)

    def collate(
        self,
        prepared: Sequence[SceneGraph],
        agents: Sequence[Int[np.ndarray, " _"]],
        augmentations: Sequence[Augmentation] | None = None,
    ) -> GraphBatch:
        """The same as tensors; see `ForecastInput.collate`."""
        from perception.encoders.query_centric.batch import GraphBatch

        return GraphBatch.of(self.arrays(prepared, agents, augmentations))

    def warm_up_agents(self, most: int) -> range:
        """One number of agents for each size that kernels are written for."""
        return range(1, most + 1, POLYLINE_STEP)


def _join(graphs: Sequence[SceneGraph], rows: Sequence[Int[np.ndarray, " _"]]) -> dict[str, np.ndarray]:
    """All scenes as one graph: arrays by their names in `GraphBatch`."""
    agents, lanes = [len(g.scenario.agents) for g in graphs], [len(g.lanes) for g in graphs]
    first_agent, first_lane = _starts(agents), sum(agents) + _starts(lanes)
    elements = [
        np.concatenate([agent + np.arange(own_agents), lane + np.arange(own_lanes)])
        for agent, own_agents, lane, own_lanes in zip(first_agent, agents, first_lane, lanes, strict=True)
    ]

    def of_all(name: str) -> np.ndarray:
        return np.concatenate([getattr(graph.scenario, name) for graph in graphs])

    def of_rows(name: str) -> np.ndarray:
        return stack([getattr(graph.scenario, name)[wanted] for graph, wanted in zip(graphs, rows, strict=True)])

    def edges(parts: Sequence[Neighbourhood]) -> tuple[np.ndarray, np.ndarray]:
        index = np.concatenate([own[part.index] for own, part in zip(elements, parts, strict=True)])
        return index, np.concatenate([part.valid for part in parts])

    of_agents, of_lanes = edges([g.of_agents for g in graphs]), edges([g.of_lanes for g in graphs])
    lane_rows = [first + g.lanes for first, g in zip(_starts([g.lane_count for g in graphs]), graphs, strict=True)]
    return dict(
        agent_vectors=of_all("agent_vectors"),
        agent_vectors_valid=of_all("agent_vectors_valid"),
        agent_kinds=of_all("agent_kinds"),
        agent_poses=of_all("agent_poses"),
        lane_vectors=of_all("lane_vectors"),
        lane_poses=of_all("lane_poses"),
        lane_rows=np.concatenate(lane_rows),
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
