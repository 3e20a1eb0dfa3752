"""Fusion of situation, question and scene objects with MCAN's layers, arranged as in SQA3D.

Deep Modular Co-Attention Networks for Visual Question Answering (https://arxiv.org/abs/1906.10770), SQA3D
(https://arxiv.org/abs/2210.07474). Both texts attend to themselves; the objects then attend to themselves and are
guided by the situation, then by the question. LayerNorm is PyTorch's; MCAN's own divides by the unbiased standard
deviation, which is 0.2 % larger at width 256.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from perception.tokens import Tokens


class GuidedAttention(nn.Module):
    """Multi-head attention of tokens to the valid tokens of a guide.

    Args:
        dim: Width of both.
        heads: Number of heads; divides `dim`.
        dropout: Dropout of attention weights.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"GuidedAttention: expected heads that divide dim={dim}, got heads={heads}")
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "batch rows dim"], guide: Tokens) -> Float[Tensor, "batch rows dim"]:
        """Returns the attention output of each row. Each batch entry of the guide needs at least one valid token."""
        query = self._heads(self.query(x))
        key, value = (self._heads(part) for part in self.key_value(guide.values).chunk(2, dim=-1))
        dropout = self.dropout if self.training else 0.0
        gathered = F.scaled_dot_product_attention(query, key, value, guide.valid[:, None, None], dropout)
        return self.out(gathered.transpose(1, 2).flatten(2))

    def _heads(self, x: Float[Tensor, "batch rows dim"]) -> Float[Tensor, "batch heads rows head_dim"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FusionLayer(nn.Module):
    """MCAN's SA unit, or its SGA unit if guided: self-attention, attention to the guide, feed-forward part; post-norm.

    Args:
        dim: Width of the tokens.
        heads: Number of heads; divides `dim`.
        dropout: Dropout of attention weights, hidden layer and the output of each part.
        guided: Whether there is a guide.
    """

    def __init__(self, dim: int, heads: int, dropout: float, *, guided: bool) -> None:
        super().__init__()
        self.attend = GuidedAttention(dim, heads, dropout)
        self.follow = GuidedAttention(dim, heads, dropout) if guided else None
        self.feed = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3 if guided else 2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tokens, guide: Tokens | None = None) -> Tokens:
        """Returns the tokens after attention to each other and to the guide."""
        x = self.norms[0](tokens.values + self.dropout(self.attend(tokens.values, tokens)))
        if self.follow is not None:
            assert guide is not None
            x = self.norms[1](x + self.dropout(self.follow(x, guide)))
        return tokens.replace(self.norms[-1](x + self.dropout(self.feed(x))))


class SceneTextFusion(nn.Module):
    """Encodes both texts by self-attention and guides objects by them.

    Args:
        dim: Width of all tokens.
        heads: Number of heads; divides `dim`.
        layers: Number of layers in each stack.
        dropout: Dropout of every layer.
        with_objects: Whether there are objects.
    """

    def __init__(
        self, dim: int, heads: int = 8, layers: int = 2, dropout: float = 0.1, *, with_objects: bool = True
    ) -> None:
        super().__init__()

        def stack(guided: bool) -> nn.ModuleList:
            return nn.ModuleList(FusionLayer(dim, heads, dropout, guided=guided) for _ in range(layers))

        self.situation = stack(guided=False)
        self.question = stack(guided=False)
        self.objects_by_situation = stack(guided=True) if with_objects else nn.ModuleList()
        self.objects_by_question = stack(guided=True) if with_objects else nn.ModuleList()

    def read(self, situation: Tokens, question: Tokens) -> tuple[Tokens, Tokens]:
        """Returns situation and question after their own layers."""
        for layer in self.situation:
            situation = layer(situation)
        for layer in self.question:
            question = layer(question)
        return situation, question

    def guide(self, objects: Tokens, situation: Tokens, question: Tokens) -> Tokens:
        """Returns the objects guided by texts that were encoded by `read`."""
        return self.guide_by_question(self.guide_by_situation(objects, situation), question)

    def guide_by_situation(self, objects: Tokens, situation: Tokens) -> Tokens:
        """Guides the objects by the situation, the first half of `guide`."""
        for layer in self.objects_by_situation:
            objects = layer(objects, situation)
        return objects

    def guide_by_question(self, objects: Tokens, question: Tokens) -> Tokens:
        """Guides the objects by the question, the second half of `guide`."""
        for layer in self.objects_by_question:
            objects = layer(objects, question)
        return objects


class AttentionPool(nn.Module):
    """Pools tokens to one vector by learned weights (MCAN's AttFlat).

    Args:
        dim: Width of the tokens.
        out_dim: Width of the vector.
        dropout: Dropout of the layer that scores the tokens.
    """

    def __init__(self, dim: int, out_dim: int, dropout: float = 0.1) -> None:
        super().__init__()
        # A bias of the last layer would shift all scores equally, which the softmax ignores.
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, 1, bias=False))
        self.out = nn.Linear(dim, out_dim)

    def forward(
        self, tokens: Tokens, prior: Float[Tensor, "batch tokens"] | None = None
    ) -> tuple[Float[Tensor, "batch out_dim"], Float[Tensor, "batch tokens"]]:
        """Returns the vector and the weight of each token, which is 0 for padding; weights sum to 1.

        Args:
            tokens: Tokens to pool.
            prior: Bonus that is added to the score of each token.
        """
        scores = self.score(tokens.values).squeeze(-1).float()
        if prior is not None:
            scores = scores + prior
        weights = scores.masked_fill(~tokens.valid, float("-inf")).softmax(-1)
        pooled = (weights.unsqueeze(1).to(tokens.values.dtype) @ tokens.values).squeeze(1)
        return self.out(pooled), weights
