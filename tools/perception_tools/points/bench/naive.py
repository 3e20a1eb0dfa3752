"""Point-BERT as it is usually written in plain PyTorch, with the same parameters: what the encoder is timed against."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from perception.encoders.point_bert import Groups, PointBert, PositionedTokens


class NaivePointBert(PointBert):
    """Samples by one pass over all points for each centre, sorts whole rows of distances, and convolves channels."""

    def group(self, points: Float[Tensor, "batch points 3"]) -> Groups:
        """Divides clouds into groups."""
        rows = torch.arange(len(points), device=points.device).unsqueeze(1)
        centres = points[rows, sample(points, self.groups)]
        distances = (centres.unsqueeze(2) - points.unsqueeze(1)).square().sum(-1)
        index = distances.sort(dim=-1).indices[..., : self.group_size]
        return Groups(centres, points[rows.unsqueeze(2), index] - centres.unsqueeze(2))

    def embed(self, groups: Groups) -> PositionedTokens:
        """Returns the class token and the groups before the first layer."""
        x = groups.points.flatten(0, 1).mT
        each = self.encoder.first_conv(x)
        whole = each.max(2, keepdim=True).values.expand_as(each)
        features = self.encoder.second_conv(torch.cat([whole, each], 1)).max(2).values
        values = self.reduce_dim(features.unflatten(0, groups.points.shape[:2]))
        return self.with_class_token(values, groups.centres)


def sample(points: Float[Tensor, "batch points 3"], count: int) -> Int[Tensor, "batch {count}"]:
    """Farthest point sampling from the first point on, as most repositories of PointNet++ in PyTorch write it."""
    rows = torch.arange(len(points), device=points.device)
    chosen = torch.zeros(len(points), count, dtype=torch.long, device=points.device)
    nearest = torch.full(points.shape[:2], torch.inf, device=points.device, dtype=points.dtype)
    for step in range(1, count):
        last = points[rows, chosen[:, step - 1]].unsqueeze(1)
        nearest = torch.minimum(nearest, ((points - last) ** 2).sum(-1))
        chosen[:, step] = nearest.argmax(1)
    return chosen
