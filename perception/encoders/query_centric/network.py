"""A query-centric encoder of traffic scenes, in the class of HiVT, QCNet and SIMPL.

* HiVT: Hierarchical Vector Transformer for Multi-Agent Motion Prediction (Zhou et al., CVPR 2022);
* QCNet: Query-Centric Trajectory Prediction (Zhou et al., CVPR 2023, https://github.com/ZikangZhou/QCNet);
* SIMPL: A Simple and Efficient Multi-Agent Motion Prediction Baseline (https://arxiv.org/abs/2402.02519).

Every element, an agent's history or a lane, is written in its own frame. How elements lie to each other is said on the
edges between them alone, so nothing changes when the scene is turned or moved, and one pass serves every agent. An edge
exists to a fixed number of neighbours: the cost is linear in the number of elements. The futures of an agent are
queries that look, from where it stands, at the lanes and agents around it, as in QCNet's decoder.

It differs from QCNet in this: an agent is one element, not one for each step of its past (its present attends to its
past with the time between on the edge); lanes attend to agents too; there is no second stage that refines proposals.
The queries' features go to the house's head (`ModeTokens`), and the frozen block sees agents and lanes.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from perception.attention import GatheredAttention, SelfAttention, pack, unpack
from perception.encoders.forecasting import ModeTokens
from perception.encoders.query_centric.batch import GraphBatch
from perception.encoders.query_centric.input import GraphInput
from perception.encoders.vectornet.network import LANES_AT_ONCE, NEWEST_VECTORS, NewestVectors
from perception.encoders.vectornet.vectorize import AGENT_FEATURES, LANE_FEATURES, vectorize_lanes
from perception.traffic.map_index import take
from perception.traffic.scenario import AgentKind, MapPolylines

RELATION_DIM = 64
"""Width of what an edge says."""
WAVELENGTHS_M = (4.0, 10.0, 25.0, 60.0, 150.0)
"""Wavelengths at which an edge's position is also written, from a lane's width to the size of a scene."""
BEARING_M = 1.0
"""Bearings fade out below this distance, where they are noise."""


class RelationEmbedding(nn.Module):
    """What lies on an edge: distance, bearing and relative heading of an element from another's frame."""

    frequencies: Tensor

    def __init__(self, dim: int = RELATION_DIM) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * torch.pi / torch.tensor(WAVELENGTHS_M), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(6 + 4 * len(WAVELENGTHS_M), dim // 2), nn.ReLU(), nn.Linear(dim // 2, dim))

    def forward(
        self, own: Float[Tensor, "rows 4"], others: Float[Tensor, "rows neighbours 4"]
    ) -> Float[Tensor, "rows neighbours dim"]:
        """One relation an edge.

        Args:
            own: x, y (metres), cos, sin of each row's frame.
            others: The same of its neighbours' frames.
        """
        x, y, cos, sin = own.unsqueeze(1).unbind(-1)
        of_x, of_y, of_cos, of_sin = others.unbind(-1)
        dx, dy = of_x - x, of_y - y
        position = torch.stack([cos * dx + sin * dy, cos * dy - sin * dx], dim=-1)
        heading = torch.stack([cos * of_cos + sin * of_sin, cos * of_sin - sin * of_cos], dim=-1)
        distance = position.square().sum(-1, keepdim=True).sqrt()
        bearing = position / (distance + BEARING_M)
        phases = (position.unsqueeze(-1) * self.frequencies).flatten(-2)
        return self.mlp(
            torch.cat([distance / 50, distance.log1p(), bearing, heading, phases.sin(), phases.cos()], dim=-1)
        )


class GraphLayer(nn.Module):
    """Rows attend to their neighbours, then pass a feed-forward map; norms stand before both."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.table_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = GatheredAttention(dim, heads, RELATION_DIM)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "rows queries dim"],
        table: Float[Tensor, "elements dim"],
        index: Int[Tensor, "rows neighbours"],
        valid: Bool[Tensor, "rows neighbours"],
        relations: Float[Tensor, "rows neighbours relation_dim"],
    ) -> Float[Tensor, "rows queries dim"]:
        """Same shape; arguments as in `GatheredAttention`."""
        x = x + self.dropout(self.attention(self.norm(x), self.table_norm(table), index, valid, relations))
        return x + self.dropout(self.feed_forward(x))


class HistoryEncoder(nn.Module):
    """An agent's past: its newest vectors in order, and its present, which attends to all of them.

    Here the edges say everything: where a step lies from the present, where it went, how fast, how long ago.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.newest_vectors = NewestVectors(NEWEST_VECTORS, dim)
        self.kind = nn.Embedding(len(AgentKind), dim)
        nn.init.normal_(self.kind.weight, std=0.02)  # PyTorch's 1.0 would drown what tells agents apart
        self.step = nn.Sequential(nn.Linear(AGENT_FEATURES, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.query, self.out = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(
        self,
        vectors: Float[Tensor, "agents vectors features"],
        valid: Bool[Tensor, "agents vectors"],
        kinds: Int[Tensor, " agents"],
    ) -> Float[Tensor, "agents dim"]:
        """One feature an agent, also of one without any past."""
        present = self.newest_vectors(vectors) + self.kind(kinds)
        steps = self.step(vectors)
        scores = (steps @ self.query(present).unsqueeze(-1)).squeeze(-1) * steps.shape[-1] ** -0.5
        weights = scores.masked_fill(~valid, torch.finfo(scores.dtype).min).softmax(-1) * valid
        return present + self.out((weights.unsqueeze(1) @ steps).squeeze(1))


class LaneEncoder(nn.Module):
    """A lane's vectors to one feature, however many they are; each says by itself where in the lane it lies."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.vector = nn.Sequential(nn.Linear(LANE_FEATURES, dim // 2), nn.ReLU(), nn.Linear(dim // 2, dim))
        self.out = nn.Sequential(nn.LayerNorm(2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim))

    def forward(self, vectors: Float[Tensor, "lanes vectors features"]) -> Float[Tensor, "lanes dim"]:
        """One feature a lane."""
        x = self.vector(vectors)
        return self.out(torch.cat([x.amax(1), x.mean(1)], dim=-1))


class ModeDecoder(nn.Module):
    """Queries, one for each future of an agent, that attend to what is around it and to each other."""

    def __init__(self, dim: int, heads: int, layers: int, modes: int, dropout: float) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(modes, dim) * 0.5)
        self.scene = nn.ModuleList(GraphLayer(dim, heads, dropout) for _ in range(layers))
        self.among_modes = nn.ModuleList(SelfAttention(dim, heads) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        agents: Float[Tensor, "asked dim"],
        table: Float[Tensor, "elements dim"],
        index: Int[Tensor, "asked neighbours"],
        valid: Bool[Tensor, "asked neighbours"],
        relations: Float[Tensor, "asked neighbours relation_dim"],
    ) -> Float[Tensor, "asked modes dim"]:
        """Features of each agent's futures."""
        x = agents.unsqueeze(1) + self.queries
        together = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        for scene, among_modes, norm in zip(self.scene, self.among_modes, self.norms, strict=True):
            x = scene(x, table, index, valid, relations)
            x = x + among_modes(norm(x).flatten(0, 1), together).unflatten(0, x.shape[:2])
        return self.norm(x)


class QueryCentric(nn.Module):
    """Agents and lanes to one token each, and a feature for each future of the agents asked about.

    Args:
        dim: Width of the tokens.
        global_layers: Number of layers in which agents and lanes attend to their neighbours.
        heads: Number of heads of every attention.
        dropout: Dropout in the layers.
        modes: Number of futures for each agent, K.
        max_tokens: Number of elements that an agent attends to, see `GraphInput`.

    Attributes:
        input: Shows scenarios to the network.
    """

    def __init__(
        self,
        dim: int = 128,
        global_layers: int = 2,
        heads: int = 8,
        dropout: float = 0.1,
        modes: int = 6,
        max_tokens: int = 32,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.input = GraphInput(max_tokens)
        self.history, self.lane, self.relation = HistoryEncoder(dim), LaneEncoder(dim), RelationEmbedding()
        self.agent_layers = nn.ModuleList(GraphLayer(dim, heads, dropout) for _ in range(global_layers))
        self.lane_layers = nn.ModuleList(GraphLayer(dim, heads, dropout) for _ in range(global_layers))
        self.norm = nn.LayerNorm(dim)
        self.decoder = ModeDecoder(dim, heads, global_layers, modes, dropout)

    def no_weight_decay(self) -> list[str]:
        """Names of parameters whose size means something: the queries."""
        return ["decoder.queries"]

    @torch.inference_mode()
    def encode_map(self, lanes: MapPolylines) -> Float[Tensor, "lanes dim"]:
        """Features of a map's polylines: each is written in its own frame, so they are the same in every scene."""
        features = self.norm.weight.new_empty(len(lanes), self.dim)
        for rows in np.split(np.arange(len(lanes)), range(LANES_AT_ONCE, len(lanes), LANES_AT_ONCE)):
            some = take(lanes, rows)
            vectors, _ = vectorize_lanes(some, some.points)
            features[rows] = self.lane(torch.from_numpy(vectors).to(features.device))
        return features

    def forward(self, batch: GraphBatch, lanes: Float[Tensor, "all_lanes dim"] | None = None) -> ModeTokens:
        """Tokens of every scene, [agents; lanes], and the features of the futures asked for.

        Args:
            batch: The scenes.
            lanes: From `encode_map`, for every lane of the batch's scenarios; computed here where not given.
        """
        x = self.history(batch.agent_vectors, batch.agent_vectors_valid, batch.agent_kinds)
        y = self.lane(batch.lane_vectors) if lanes is None else lanes[batch.lane_rows]
        poses = torch.cat([batch.agent_poses, batch.lane_poses])
        of_agents = batch.agent_neighbours, batch.agent_neighbours_valid
        of_lanes = batch.lane_neighbours, batch.lane_neighbours_valid
        seen_by_agents = self.relation(batch.agent_poses, _rows(poses, batch.agent_neighbours))
        seen_by_lanes = self.relation(batch.lane_poses, _rows(poses, batch.lane_neighbours))
        for agent_layer, lane_layer in zip(self.agent_layers, self.lane_layers, strict=True):
            table = torch.cat([x, y])
            x = agent_layer(x.unsqueeze(1), table, *of_agents, seen_by_agents).squeeze(1)
            y = lane_layer(y.unsqueeze(1), table, *of_lanes, seen_by_lanes).squeeze(1)
        table = self.norm(torch.cat([x, y]))
        asked = pack(batch.token_index.gather(1, batch.rows).unsqueeze(-1), batch.rows_valid).squeeze(-1)
        around = (part.index_select(0, asked) for part in (*of_agents, seen_by_agents))
        modes = self.decoder(table.index_select(0, asked), table, *around)
        tokens = _rows(table, batch.token_index) * batch.token_valid.unsqueeze(-1)
        of_rows = unpack(modes.flatten(1), batch.rows_valid).unflatten(-1, modes.shape[1:])
        return ModeTokens(tokens, batch.token_valid, of_rows)


def _rows(
    table: Float[Tensor, "elements dim"], index: Int[Tensor, "rows columns"]
) -> Float[Tensor, "rows columns dim"]:
    return table.index_select(0, index.flatten()).unflatten(0, index.shape)
