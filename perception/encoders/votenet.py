"""Deep Hough Voting for 3D Object Detection in Point Clouds (VoteNet, https://arxiv.org/abs/1904.09664).

The sizes are those of VoteNet's ScanNet model as used by ScanQA and SQA3D. Seeds vote for the centre of their object,
and votes are clustered to proposals. Question answering uses the features of the proposals that are objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from perception.clouds.grouping import farthest_points, take
from perception.encoders.pointnet2 import Level, PointMLP, PointNet2, Sampled, SetAbstraction
from perception.tokens import Tokens

LEVELS = (
    Level(2048, 0.2, 64, (64, 64, 128)),
    Level(1024, 0.4, 32, (128, 128, 256)),
    Level(512, 0.8, 16, (128, 128, 256)),
    Level(256, 1.2, 16, (128, 128, 256)),
)
"""VoteNet's set abstraction levels (appendix)."""


@dataclass(frozen=True)
class Detections:
    """Votes and object proposals; scene frame, metres.

    Attributes:
        seed_index: Indices of the seeds among the points.
        seeds: Positions of the seeds.
        votes: Estimate of each seed for the centre of its object.
        clusters: Votes at the centres of the proposals' clusters.
        features: Features of the proposals for question answering.
        objectness: Logits of "no object" and "object".
        centres: Centres of the boxes.
        heading: Logit and residual (radians / π) of the only heading bin. Both are meaningless for ScanNet's
            axis-aligned boxes and kept so that the layer has VoteNet's shape.
        size_scores: Logits of the size classes.
        size_residuals: Deviation from each size class's mean, relative to the mean.
        class_scores: Logits of the object classes.
        mean_sizes: Mean size of each size class.
        seed_class_scores: Logits of the class of each seed's object; None if seeds are not classified.
    """

    seed_index: Int[Tensor, "batch seeds"]
    seeds: Float[Tensor, "batch seeds 3"]
    votes: Float[Tensor, "batch seeds 3"]
    clusters: Float[Tensor, "batch proposals 3"]
    features: Float[Tensor, "batch proposals dim"]
    objectness: Float[Tensor, "batch proposals 2"]
    centres: Float[Tensor, "batch proposals 3"]
    heading: Float[Tensor, "batch proposals 2"]
    size_scores: Float[Tensor, "batch proposals classes"]
    size_residuals: Float[Tensor, "batch proposals classes 3"]
    class_scores: Float[Tensor, "batch proposals classes"]
    mean_sizes: Float[Tensor, "classes 3"]
    seed_class_scores: Float[Tensor, "batch seeds classes"] | None = None

    @property
    def valid(self) -> Bool[Tensor, "batch proposals"]:
        """True for proposals that are objects; for all proposals of a scene if none is.

        SQA3D's masked softmax also includes all proposals in that case.
        """
        is_object = self.objectness.argmax(-1) == 1
        return is_object | ~is_object.any(1, keepdim=True)

    @property
    def tokens(self) -> Tokens:
        """Features of the proposals as tokens."""
        return Tokens(self.features, self.valid)

    @property
    def boxes(self) -> Float[Tensor, "batch proposals 6"]:
        """Centre, then full size along the axes, for the most probable size class."""
        sizes = self.mean_sizes * (1 + self.size_residuals)
        likeliest = self.size_scores.argmax(-1)[..., None, None].expand(-1, -1, 1, 3)
        return torch.cat([self.centres, sizes.gather(2, likeliest).squeeze(2).clamp_min(0)], dim=-1)


class VoteNet(nn.Module):
    """Detects object proposals in a point cloud.

    Args:
        features: Number of features per point, besides the coordinates.
        mean_sizes: Mean full size of each class's boxes, metres, see `mean_box_sizes`; sizes are relative to it.
        levels: Levels of the backbone.
        seed_dim: Width of the seeds' features.
        proposals: Number of proposals.
        dim: Width of the proposals' features.
        radius: Radius of the balls of votes that form a proposal, metres.
        neighbours: Number of votes per proposal.
        named_seeds: Whether seeds are also classified, and their class probabilities are features of their votes.
            VoteNet classifies only proposals, and only those near the centre of an object are trained, of which there
            are none at first. Seeds lie on objects from the first step on.
    """

    mean_sizes: Tensor

    def __init__(
        self,
        features: int,
        mean_sizes: Float[Tensor, "classes 3"],
        *,
        levels: tuple[Level, ...] = LEVELS,
        seed_dim: int = 256,
        proposals: int = 256,
        dim: int = 128,
        radius: float = 0.3,
        neighbours: int = 16,
        named_seeds: bool = False,
    ) -> None:
        super().__init__()
        self.features, self.dim, self.proposals, self.classes = features, dim, proposals, len(mean_sizes)
        self.register_buffer("mean_sizes", mean_sizes.float())
        self.backbone = PointNet2(features, levels, (seed_dim, seed_dim))
        self.vote = nn.Sequential(PointMLP((seed_dim, seed_dim, seed_dim)), nn.Linear(seed_dim, 3 + seed_dim))
        self.name = nn.Linear(seed_dim, self.classes) if named_seeds else None
        vote_dim = seed_dim + (self.classes if named_seeds else 0)
        self.cluster = SetAbstraction(vote_dim, radius, neighbours, (dim, dim, dim))
        self.propose = nn.Sequential(PointMLP((dim, dim, dim)), nn.Linear(dim, 2 + 3 + 2 + 5 * self.classes))

    def forward(
        self,
        points: Float[Tensor, "batch points 3"],
        features: Float[Tensor, "batch points features"],
        sampled: Sampled | None = None,
    ) -> Detections:
        """Detects the proposals of each scene.

        Args:
            points: Scene frame, metres.
            features: Point features of `perception.scenes.sample.SceneBatch`.
            sampled: From the backbone's `sample`, where it is known already.
        """
        seed_index, seeds, seed_features = self.backbone(points, features, sampled)
        offset, residual = self.vote(seed_features).split([3, seed_features.shape[-1]], dim=-1)
        votes, vote_features = seeds + offset, seed_features + residual
        vote_features = vote_features / vote_features.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        seed_class_scores = None if self.name is None else self.name(seed_features)
        if seed_class_scores is not None:
            vote_features = torch.cat([vote_features, seed_class_scores.softmax(-1)], dim=-1)
        clusters = take(votes, farthest_points(votes, self.proposals))
        proposals = self.cluster(clusters, votes, vote_features)
        objectness, centre, heading, size_scores, residuals, class_scores = self.propose(proposals).split(
            [2, 3, 2, self.classes, 3 * self.classes, self.classes], dim=-1
        )
        return Detections(
            seed_index=seed_index,
            seeds=seeds,
            votes=votes,
            clusters=clusters,
            features=proposals,
            objectness=objectness,
            centres=clusters + centre,
            heading=heading,
            size_scores=size_scores,
            size_residuals=residuals.unflatten(-1, (self.classes, 3)),
            class_scores=class_scores,
            mean_sizes=self.mean_sizes,
            seed_class_scores=seed_class_scores,
        )


def mean_box_sizes(
    boxes: Float[Tensor, "boxes 6"], kinds: Int[Tensor, " boxes"], classes: int
) -> Float[Tensor, "{classes} 3"]:
    """Computes the mean full size of each class's boxes for `VoteNet`; the mean of all boxes for a class without any.

    Args:
        boxes: Centre, then full size, of at least one box of the training scenes.
        kinds: Class of each box.
        classes: Number of classes.
    """
    of_class = F.one_hot(kinds, classes).to(boxes.dtype)
    count = of_class.sum(0).unsqueeze(1)
    total = of_class.T @ boxes[:, 3:]
    return torch.where(count > 0, total / count.clamp_min(1), boxes[:, 3:].mean(0))
