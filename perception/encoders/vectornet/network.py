"""VectorNet: Encoding HD Maps and Agent Dynamics from Vectorized Representation (https://arxiv.org/abs/2005.04259).

Widths follow the lineage of the frozen-block paper's author (ziqipang/StreamingForecasting): three sub-graph layers,
separate for agents and lanes, and a global graph 256 wide. Four things differ from the paper. Every polyline enters
the sub-graph in its own frame and its pose joins after it (`vectorize.py` says why). An agent's newest vectors are also
read in order (`NewestVectors`). Attention is scaled by 1/√d, which the paper's equation 5 leaves out. And in the
pairwise view no token has a pose: attention is told how each pair lies to each other, as in SIMPL
(https://arxiv.org/abs/2402.02519), so that one pass over a scene serves every agent as a view of its own would.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from perception.attention import Neighbours, RelativeAttention, SelfAttention, pack, unpack
from perception.encoders.vectornet.batch import VectorBatch
from perception.encoders.vectornet.input import POLYLINE_STEP, VectorizedInput
from perception.encoders.vectornet.vectorize import AGENT_FEATURES, LANE_FEATURES, vectorize_lanes
from perception.encoders.vectornet.views import View
from perception.tokens import Tokens
from perception.traffic.map_index import take
from perception.traffic.scenario import AgentKind, MapPolylines

NEWEST_VECTORS = 19
"""Argoverse 1's whole history; the newest 1.9 s of longer ones."""
RELATION_DIM = 64
"""Width of the relation between two polylines: how one lies to the other."""
LANES_AT_ONCE = 1024
"""Number of a map's polylines that are encoded at a time, in the processor's caches: a quarter of the time of a whole
city, and a bounded memory."""
POSE_WAVELENGTHS_M = (4.0, 10.0, 25.0, 60.0, 150.0)
"""Wavelengths of the position embedding, from a lane's width to the size of a scene."""


class PolylineSubgraph(nn.Module):
    """Vectors of a polyline to one polyline feature (§3.2, eq. 2-3).

    Each layer encodes every vector, takes the maximum over the polyline and concatenates it to each vector; the last
    layer ends with the maximum alone.

    Args:
        features: Number of features of a vector.
        widths: Width of each layer's encoding; the next layer reads twice as many.
        out_dim: Width of the polyline feature.
    """

    def __init__(self, features: int, widths: tuple[int, ...], out_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            SubgraphLayer(features if i == 0 else widths[i - 1], width, pooled_features=0 if i == 0 else widths[i - 1])
            for i, width in enumerate(widths)
        )
        self.out = nn.Linear(widths[-1], out_dim)

    def forward(
        self,
        vectors: Float[Tensor, "polylines vectors features"],
        valid: Bool[Tensor, "polylines vectors"] | None = None,
    ) -> Float[Tensor, "polylines dim"]:
        """One feature a polyline, the same in whatever order its vectors come. Without valid vectors it is constant."""
        count = vectors.shape[0]
        if not torch.is_grad_enabled() and not torch.compiler.is_exporting():
            missing = -count % POLYLINE_STEP
            vectors = F.pad(vectors, (0, 0, 0, 0, 0, missing))
            valid = None if valid is None else F.pad(valid, (0, 0, 0, missing))
        x, pooled = vectors, None
        weight = None if valid is None else valid.unsqueeze(-1).to(vectors.dtype)
        for layer in self.layers:
            x = layer(x, pooled)
            if weight is not None:
                # After ReLU no value is below 0, so 0 never wins wrongly; six times as fast as masked_fill
                x = x * weight
            pooled = x.amax(dim=1)
        return self.out(pooled)[:count]


class SubgraphLayer(nn.Module):
    """Two Linear-LayerNorm-ReLU on [vector; polyline maximum].

    The first linear map of the concatenation is the sum of a map of the vector and a map of the maximum; the latter is
    computed once a polyline.
    """

    def __init__(self, features: int, width: int, pooled_features: int) -> None:
        super().__init__()
        self.vector = nn.Linear(features, width)
        self.pooled = nn.Linear(pooled_features, width, bias=False) if pooled_features else None
        self.rest = nn.Sequential(
            nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()
        )

    def forward(
        self, x: Float[Tensor, "polylines vectors features"], pooled: Float[Tensor, "polylines pooled_features"] | None
    ) -> Float[Tensor, "polylines vectors width"]:
        """One encoding a vector; at least 0."""
        encoded = self.vector(x)
        if self.pooled is not None:
            encoded = encoded + self.pooled(pooled).unsqueeze(1)
        return self.rest(encoded)


class NewestVectors(nn.Module):
    """An agent's newest vectors in their order.

    The sub-graph's maximum keeps what happened but not when, and braking is little else than when. On AV1-mini, without
    a map, after 600 steps of 32: minFDE of six 2.42 m by the sub-graph alone, 2.26 m by this alone.

    Args:
        count: Number of vectors; an agent with fewer has zeros before them.
        dim: Width of the feature.
    """

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.count = count
        self.mlp = nn.Sequential(
            nn.Linear(count * AGENT_FEATURES, dim), nn.LayerNorm(dim), nn.ReLU(), nn.Linear(dim, dim)
        )

    def forward(self, vectors: Float[Tensor, "agents vectors features"]) -> Float[Tensor, "agents dim"]:
        """One feature an agent."""
        return self.mlp(F.pad(vectors, (0, 0, self.count, 0))[:, -self.count :].flatten(1))


class PoseEmbedding(nn.Module):
    """Where a polyline lies in a view: x, y, cos, sin → a vector to add to its feature."""

    frequencies: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * torch.pi / torch.tensor(POSE_WAVELENGTHS_M), persistent=False)
        self.mlp = nn.Sequential(
            nn.Linear(5 + 4 * len(POSE_WAVELENGTHS_M), dim // 2), nn.ReLU(), nn.Linear(dim // 2, dim)
        )

    def forward(self, poses: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n dim"]:
        """One embedding a pose."""
        position = poses[..., :2]
        phases = (position.unsqueeze(-1) * self.frequencies).flatten(-2)
        near = torch.log1p(position.norm(dim=-1, keepdim=True))
        return self.mlp(torch.cat([position / 50, poses[..., 2:], near, phases.sin(), phases.cos()], dim=-1))


class GlobalGraphLayer(nn.Module):
    """One layer of self-attention over all polylines of a view (§3.3, eq. 5), pre-norm, with a residual."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, heads)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "packed dim"], valid: Bool[Tensor, "views tokens"]
    ) -> Float[Tensor, "packed dim"]:
        """Tokens that have seen each other, packed (`SelfAttention`)."""
        return x + self.dropout(self.attention(self.norm(x), valid))


class PairwiseGraphLayer(nn.Module):
    """A global graph layer in which each polyline sees its neighbours from where it lies, then a feed-forward layer."""

    def __init__(self, dim: int, heads: int, relation_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.attention = RelativeAttention(dim, heads, relation_dim)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "packed dim"],
        valid: Bool[Tensor, "views tokens"],
        neighbours: Neighbours,
        relations: Float[Tensor, "views tokens neighbours relation_dim"],
    ) -> Float[Tensor, "packed dim"]:
        """Tokens that have seen their neighbours, packed (`SelfAttention`)."""
        x = x + self.dropout(self.attention(self.norm(x), valid, neighbours, relations))
        return x + self.dropout(self.feed_forward(x))


def relative_poses(
    poses: Float[Tensor, "views tokens 4"], neighbours: Neighbours
) -> Float[Tensor, "views tokens neighbours 4"]:
    """Pose of every neighbour in the frame of the token whose neighbour it is: x, y (metres), cos, sin."""
    x, y, cos, sin = poses.unsqueeze(2).unbind(-1)
    of_x, of_y, of_cos, of_sin = neighbours.gather(poses).unbind(-1)
    dx, dy = of_x - x, of_y - y
    return torch.stack(
        [cos * dx + sin * dy, cos * dy - sin * dx, cos * of_cos + sin * of_sin, cos * of_sin - sin * of_cos], dim=-1
    )


class VectorNet(nn.Module):
    """Agents and lanes to one token each, in the view of whoever is predicted.

    Args:
        dim: Width of the tokens.
        subgraph_widths: Widths of the three sub-graph layers.
        global_layers: Self-attention layers over all polylines; the paper has one.
        heads: Attention heads of the global graph; the paper has one.
        dropout: Dropout in the global graph.
        view: From where polylines are seen, see `perception.encoders.vectornet.views`. In the pairwise view each
            polyline is told how its neighbours lie to it, in the others where it lies in the view.
        max_tokens: Polylines that each agent or lane sees (`pairwise`), or that an agent's view holds (`agent`).

    Attributes:
        input: Shows scenarios to the network.
    """

    def __init__(
        self,
        dim: int = 256,
        subgraph_widths: tuple[int, ...] = (32, 64, 128),
        global_layers: int = 1,
        heads: int = 8,
        dropout: float = 0.0,
        view: View = "pairwise",
        max_tokens: int = 48,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.input = VectorizedInput(view, max_tokens)
        self.pairwise = pairwise = view == "pairwise"
        self.agent_subgraph = PolylineSubgraph(AGENT_FEATURES, subgraph_widths, dim)
        self.lane_subgraph = PolylineSubgraph(LANE_FEATURES, subgraph_widths, dim)
        self.newest_vectors = NewestVectors(NEWEST_VECTORS, dim)
        self.agent_kind = nn.Embedding(len(AgentKind), dim)
        nn.init.normal_(self.agent_kind.weight, std=0.02)  # PyTorch's 1.0 would drown what tells agents apart
        self.pose = PoseEmbedding(RELATION_DIM if pairwise else dim)
        self.fuse = nn.Sequential(nn.LayerNorm(dim), nn.ReLU(), nn.Linear(dim, dim))
        self.global_graph = nn.ModuleList(
            PairwiseGraphLayer(dim, heads, RELATION_DIM, dropout) if pairwise else GlobalGraphLayer(dim, heads, dropout)
            for _ in range(global_layers)
        )
        self.norm = nn.LayerNorm(dim)

    @torch.inference_mode()
    def encode_map(self, lanes: MapPolylines) -> Float[Tensor, "lanes dim"]:
        """Features of a map's polylines: each is written in its own frame, so they are the same in every scene."""
        features = self.agent_kind.weight.new_empty(len(lanes), self.dim)
        for rows in np.split(np.arange(len(lanes)), range(LANES_AT_ONCE, len(lanes), LANES_AT_ONCE)):
            some = take(lanes, rows)
            vectors, _ = vectorize_lanes(some, some.points)
            features[rows] = self.lane_subgraph(torch.from_numpy(vectors).to(features.device))
        return features

    def encode_polylines(
        self, batch: VectorBatch, lanes: Float[Tensor, "all_lanes dim"] | None = None
    ) -> Float[Tensor, "polylines dim"]:
        """Features of all agents and then all lanes: what does not depend on the view.

        Args:
            batch: The views.
            lanes: From `encode_map`, for every lane of the batch's scenarios; computed here where not given.
        """
        agents = (
            self.agent_subgraph(batch.agent_vectors, batch.agent_vectors_valid)
            + self.newest_vectors(batch.agent_vectors)
            + self.agent_kind(batch.agent_kinds)
        )
        return torch.cat([agents, self.lane_subgraph(batch.lane_vectors) if lanes is None else lanes[batch.lane_rows]])

    def forward(self, batch: VectorBatch, lanes: Float[Tensor, "all_lanes dim"] | None = None) -> Tokens:
        """Tokens of every view, [agents; lanes]; `lanes` as in `encode_polylines`."""
        return self.contextualize(self.encode_polylines(batch, lanes), batch)

    def contextualize(self, polylines: Float[Tensor, "polylines dim"], batch: VectorBatch) -> Tokens:
        """Polyline features to tokens: poses join, and the polylines attend to each other."""
        valid = batch.token_valid
        x = polylines[pack(batch.token_index.unsqueeze(-1), valid).squeeze(-1)]
        if not self.pairwise:
            x = x + self.pose(pack(batch.token_poses, valid))
        x = x + self.fuse(x)
        seen = (
            (batch.neighbours, self.pose(relative_poses(batch.token_poses, batch.neighbours))) if self.pairwise else ()
        )
        for layer in self.global_graph:
            x = layer(x, valid, *seen)
        return Tokens(unpack(self.norm(x), valid), valid)
