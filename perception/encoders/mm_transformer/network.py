"""mmTransformer: Multimodal Motion Prediction with Stacked Transformers (https://arxiv.org/abs/2103.11624).

Three transformers, one behind the other. The motion extractor turns an agent's history and K learned proposals into
features of K futures; the map aggregator lets each of them attend to the lanes; the social constructor folds the K
proposals of an agent into one token, which attends to the other agents. Widths, names and order of operations are those
of the released code (decisionforce/mmTransformer, which is for inference alone), so that its weights load
(`perception.encoders.mm_transformer.released`), and equal weights give equal numbers.

What leaves this encoder is one sequence: the social constructor's agents and the map aggregator's lanes. That is where
the frozen block stands; Pang et al. (ICLR 2024, §4.4) say that it "processes agent and lane tokens", not more. The
proposals go to the head beside it, or through it too (`block_rows`).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from perception.attention import pack, unpack
from perception.encoders.forecasting import ProposalTokens
from perception.encoders.mm_transformer.attention import Decoder, Encoder, LinearEmbedding, PositionalEncoding
from perception.encoders.mm_transformer.batch import SceneBatch
from perception.encoders.mm_transformer.input import HISTORY_FEATURES, LANE_FEATURES, SceneInput, SceneView
from perception.tokens import Readout

SUBGRAPH_WIDTH = 32
"""Width of the lane network's two layers; its feature is twice as wide."""

BlockTokens = Literal["scene", "agents"]
BlockRows = Literal["agents", "proposals"]


class SubgraphLayer(nn.Module):
    """Linear, LayerNorm, ReLU."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width), nn.ReLU())

    def forward(self, x: Float[Tensor, "lanes vectors features"]) -> Float[Tensor, "lanes vectors width"]:
        """One encoding a vector."""
        return self.mlp(x)


class LaneNet(nn.Module):
    """Vectors of a lane to one feature: VectorNet's sub-graph with two layers.

    Each layer encodes every vector and concatenates the maximum over the lane to it.
    """

    def __init__(self, features: int, width: int, layers: int = 2) -> None:
        super().__init__()
        self.layer_seq = nn.ModuleDict(
            {f"lmlp_{i}": SubgraphLayer(features if i == 0 else 2 * width, width) for i in range(layers)}
        )

    def forward(self, x: Float[Tensor, "lanes vectors features"]) -> Float[Tensor, "lanes dim"]:
        """One feature a lane."""
        for layer in self.layer_seq.values():
            x = layer(x)
            x = torch.cat([x, x.amax(1, keepdim=True).expand_as(x)], dim=-1)
        return x.amax(1)


class MotionExtractor(nn.Module):
    """Reads a history once and asks it once a proposal."""

    def __init__(self, dim: int, heads: int, layers: int, history_vectors: int) -> None:
        super().__init__()
        self.encoder = Encoder(dim, heads, layers)
        self.decoder = Decoder(dim, heads, layers)
        self.src_embed = nn.Sequential(LinearEmbedding(HISTORY_FEATURES, dim), PositionalEncoding(dim, history_vectors))

    def forward(
        self, histories: Float[Tensor, "agents vectors features"], queries: Float[Tensor, "proposals dim"]
    ) -> Float[Tensor, "agents proposals dim"]:
        """Features of each agent's proposals. A vector that was not observed says so in its last feature."""
        memory = self.encoder(self.src_embed(histories))
        return self.decoder(queries.expand(histories.shape[0], 1, *queries.shape), memory).squeeze(1)


def _mlp(features: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, dim), nn.LayerNorm(dim), nn.ReLU(), nn.Linear(dim, dim))


class MMTransformer(nn.Module):
    """Stacked transformers over a scene in one agent's frame.

    Args:
        dim: Width of the tokens, d_model; feed-forward maps are twice as wide.
        heads: Number of heads of every attention.
        layers: Number of layers of each of the stacks.
        modes: Number of proposals, K.
        history_vectors: Number of the newest steps of a history that are read; 19 is Argoverse 1's whole history.
        view: `agent`: each predicted agent sees the scene from its own pose, as the paper normalises it; `scene`: all
            from the focal agent's.
        block_tokens: Whether lanes enter the block beside the agents.
        block_rows: Whether the head reads the predicted agents' rows of the block alone and takes their proposals
            from here, or the proposals enter the block as further tokens and are read there too.
    """

    gives_proposals: ClassVar[bool] = True

    def __init__(
        self,
        dim: int = 128,
        heads: int = 2,
        layers: int = 2,
        modes: int = 6,
        history_vectors: int = 19,
        view: SceneView = "agent",
        block_tokens: BlockTokens = "scene",
        block_rows: BlockRows = "agents",
    ) -> None:
        super().__init__()
        self.input = SceneInput(view, history_vectors)
        self.block_tokens, self.block_rows = block_tokens, block_rows
        self.subgraph = LaneNet(LANE_FEATURES, SUBGRAPH_WIDTH)
        self.hist_tf = MotionExtractor(dim, heads, layers, history_vectors)
        self.lane_enc = Encoder(dim, heads, layers)
        self.lane_dec = Decoder(dim, heads, layers)
        self.lane_emb = LinearEmbedding(2 * SUBGRAPH_WIDTH, dim)
        self.pos_emb = _mlp(2, dim // 2)
        self.dist_emb = _mlp(modes * dim, dim)
        self.fusion1 = _mlp(dim + dim // 2, dim)
        self.fusion2 = _mlp(dim + dim // 2, dim)
        self.social_enc = Encoder(dim, heads, layers)
        self.query_embed = nn.Embedding(modes, dim)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.orthogonal_(self.query_embed.weight)

    def no_weight_decay(self) -> list[str]:
        """Names of parameters whose size means something: the proposals."""
        return ["query_embed.weight"]

    def forward(self, batch: SceneBatch) -> ProposalTokens:
        """Tokens of every view's agents and lanes, and the proposals of the agents asked about."""
        agents, lanes, proposals = self.encode(batch)
        valid = batch.agents_valid
        if self.block_tokens == "scene":
            agents, valid = torch.cat([agents, lanes], dim=1), torch.cat([valid, batch.lanes_valid], dim=1)
        rows = batch.rows[..., None, None].expand(-1, -1, *proposals.shape[2:])
        proposals = proposals.gather(1, rows)
        if self.block_rows == "agents":
            return ProposalTokens(agents, valid, proposals, batch.row_headings, batch.readout)
        wanted = batch.rows_valid.repeat_interleave(proposals.shape[2], dim=1)
        places = torch.arange(wanted.shape[1], device=wanted.device).expand_as(wanted) + agents.shape[1]
        return ProposalTokens(
            torch.cat([agents, proposals.flatten(1, 2)], dim=1),
            torch.cat([valid, wanted], dim=1),
            None,
            batch.row_headings,
            Readout(torch.cat([batch.rows, places], dim=1), torch.cat([batch.rows_valid, wanted], dim=1)),
        )

    def encode(
        self, batch: SceneBatch
    ) -> tuple[
        Float[Tensor, "views agents dim"], Float[Tensor, "views lanes dim"], Float[Tensor, "views agents modes dim"]
    ]:
        """Social features of all agents, map features of all lanes, and map-aware proposals of all agents."""
        present = batch.agents_valid
        places = self.pos_emb(pack(batch.positions, present))
        motion = self.hist_tf(_pack_sequences(batch.histories, present), self.query_embed.weight)
        with_place = torch.cat([places.unsqueeze(1).expand(-1, motion.shape[1], -1), motion], dim=-1)
        proposals = _unpack_proposals(self.fusion1(with_place), present)
        features = self.lane_emb(self.subgraph(_pack_sequences(batch.lanes, batch.lanes_valid)))
        lanes = self.lane_enc(unpack(features, batch.lanes_valid), batch.lanes_valid)
        proposals = self.lane_dec(proposals, lanes, batch.lanes_valid)
        folded = self.dist_emb(pack(proposals.flatten(2), present))
        social = self.fusion2(torch.cat([places, folded], dim=-1))
        return self.social_enc(unpack(social, present), present), lanes, proposals


def _pack_sequences(
    sequences: Float[Tensor, "views tokens vectors features"], valid: Bool[Tensor, "views tokens"]
) -> Float[Tensor, "packed vectors features"]:
    return pack(sequences.flatten(2), valid).unflatten(-1, sequences.shape[2:])


def _unpack_proposals(
    packed: Float[Tensor, "packed modes dim"], valid: Bool[Tensor, "views agents"]
) -> Float[Tensor, "views agents modes dim"]:
    return unpack(packed.flatten(1), valid).unflatten(-1, packed.shape[1:])
