"""Pre-training of Point-BERT without labels: some groups of a cloud are hidden, and their points are predicted.

As in Point-BERT (https://arxiv.org/abs/2111.14819, §3.3) a block of neighbouring groups is replaced by a learned token,
whose position stays known. What is predicted are the points themselves, as in Point-MAE
(https://arxiv.org/abs/2203.06604), not the codes of a discrete VAE; so there is no tokeniser to train first. Unlike in
Point-MAE the encoder sees the masked tokens, and a small head takes the place of a decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from perception.clouds.cloud import Cloud, CloudInput
from perception.encoders.point_bert import Groups, PointBert


@dataclass(frozen=True)
class Reconstruction:
    """What a model makes of the hidden groups of a batch of clouds.

    Attributes:
        groups: All groups.
        masked: Which of them are hidden; as many in each cloud.
        predicted: Points of the hidden groups, relative to their centres, cloud by cloud in the order of the groups.
    """

    groups: Groups
    masked: Bool[Tensor, "batch groups"]
    predicted: Float[Tensor, "hidden size 3"]

    @property
    def true(self) -> Float[Tensor, "hidden size 3"]:
        """What should have been predicted."""
        return self.groups.points[self.masked]


class PointMaskedAutoencoder(nn.Module):
    """An encoder and a head that predicts the points of hidden groups.

    Args:
        encoder: Turns clouds into tokens.
        mask_ratio: Part of the groups that are hidden, at least one of them.
        input: Shows clouds to the encoder.
    """

    def __init__(self, encoder: PointBert, mask_ratio: float, input: CloudInput) -> None:
        super().__init__()
        self.encoder, self.mask_ratio, self.input = encoder, mask_ratio, input
        dim = encoder.size.transformer.dim
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 3 * encoder.group_size))

    def forward(self, points: Float[Tensor, "batch points 3"], seeds: Float[Tensor, " batch"]) -> Reconstruction:
        """Hides a block of groups of each cloud and predicts their points.

        Args:
            points: Clouds.
            seeds: Which group of each cloud the block grows from: from 0 for the first to below 1 for the last.
        """
        encoder = self.encoder
        groups = encoder.group(points)
        masked = self.hide(groups.centres, seeds)
        values = encoder.reduce_dim(encoder.encoder(groups.points))
        seen = torch.where(masked.unsqueeze(-1), self.mask_token.to(values.dtype), values)
        tokens = encoder.layers(encoder.with_class_token(seen, groups.centres))
        hidden = encoder.norm(tokens.values)[:, 1:][masked]
        return Reconstruction(groups, masked, self.head(hidden).unflatten(-1, (encoder.group_size, 3)))

    def hide(
        self, centres: Float[Tensor, "batch groups 3"], seeds: Float[Tensor, " batch"]
    ) -> Bool[Tensor, "batch groups"]:
        """Returns a block for each cloud: the groups whose centres are nearest to that of one of them."""
        total = centres.shape[1]
        count = min(max(round(self.mask_ratio * total), 1), total - 1)
        first = (seeds * total).long().clamp(max=total - 1).view(-1, 1, 1)
        distance = (centres - centres.gather(1, first.expand(-1, 1, 3))).square().sum(-1)
        nearest = distance.argsort(dim=1, stable=True)[:, :count]
        return torch.zeros_like(distance, dtype=torch.bool).scatter_(1, nearest, True)

    def prepare(self, cloud: Cloud) -> Float32[Tensor, "points 3"]:
        """Points as the encoder reads them; see `CloudInput.prepare`."""
        return self.input.prepare(cloud)

    def collate(self, prepared: Sequence[Float32[Tensor, "_ 3"]]) -> Float32[Tensor, "batch points 3"]:
        """Clouds side by side."""
        return torch.stack(list(prepared))


def copy_of_nearest(found: Reconstruction) -> Float[Tensor, "hidden size 3"]:
    """Returns, for each hidden group, the points of the visible group with the nearest centre: a baseline."""
    centres = found.groups.centres
    distance = torch.cdist(centres, centres).masked_fill(found.masked.unsqueeze(1), torch.inf)
    nearest = distance.argmin(2)
    rows = torch.arange(len(centres), device=centres.device).unsqueeze(1)
    return found.groups.points[rows, nearest][found.masked]
