"""Training loss of VoteNet (https://arxiv.org/abs/1904.09664, §4.3 and appendix)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from perception.clouds.grouping import take
from perception.encoders.votenet import Detections
from perception.scenes.sample import SceneBatch

NEAR_M = 0.3
"""A proposal nearer than this to the centre of a box is an object."""
FAR_M = 0.6
"""A proposal farther than this from all centres is not an object; those in between do not train objectness."""
OBJECTNESS_WEIGHTS = (0.2, 0.8)
"""Class weights of "no object" and "object"."""


@dataclass(frozen=True)
class DetectionLoss:
    """Parts of the detection loss.

    Attributes:
        vote: L1 distance from the votes of seeds on objects to their object's centre, metres.
        objectness: Cross-entropy over near and far proposals.
        box: Loss of centre, size and heading of proposals that are objects.
        semantic: Cross-entropy of the class of proposals that are objects.
        seed_semantic: Cross-entropy of the class of seeds on objects; None if seeds are not classified.
        semantic_weight: Weight of the last two in the total.
    """

    vote: Float[Tensor, ""]
    objectness: Float[Tensor, ""]
    box: Float[Tensor, ""]
    semantic: Float[Tensor, ""]
    seed_semantic: Float[Tensor, ""] | None = None
    semantic_weight: float = 0.1

    @property
    def total(self) -> Float[Tensor, ""]:
        """Weighted sum as in VoteNet, ScanQA and SQA3D (before their common factor of 10)."""
        semantic = self.semantic if self.seed_semantic is None else self.semantic + self.seed_semantic
        return self.vote + 0.5 * self.objectness + self.box + self.semantic_weight * semantic


def detection_loss(found: Detections, scenes: SceneBatch, *, semantic_weight: float = 0.1) -> DetectionLoss:
    """Compares proposals with the boxes of their scenes; in scenes without boxes no proposal is an object."""
    distance = _square_distances(found.clusters, scenes).detach()
    square, nearest_box = distance.min(-1)
    is_object, is_far = square < NEAR_M**2, square > FAR_M**2
    # In a scene without boxes the nearest one is padding, which nothing reads, since no proposal is an object.
    classes = scenes.box_classes.gather(1, nearest_box)
    sizes = take(scenes.boxes[..., 3:], nearest_box)
    weights = found.objectness.new_tensor(OBJECTNESS_WEIGHTS)
    objectness = F.cross_entropy(found.objectness.transpose(1, 2), is_object.long(), weights, reduction="none")
    semantic = F.cross_entropy(found.class_scores.transpose(1, 2), classes, reduction="none")
    return DetectionLoss(
        vote=_vote_loss(found, scenes),
        objectness=_mean(objectness, is_object | is_far),
        box=_centre_loss(found, scenes, is_object) + _size_and_heading_loss(found, classes, sizes, is_object),
        semantic=_mean(semantic, is_object),
        seed_semantic=_seed_semantic_loss(found, scenes),
        semantic_weight=semantic_weight,
    )


def _seed_semantic_loss(found: Detections, scenes: SceneBatch) -> Float[Tensor, ""] | None:
    """The class of a seed is that of the object whose centre it should vote for."""
    if found.seed_class_scores is None:
        return None
    target, on_object = _vote_targets(found, scenes)
    classes = scenes.box_classes.gather(1, _square_distances(target, scenes).argmin(-1))
    semantic = F.cross_entropy(found.seed_class_scores.transpose(1, 2), classes, reduction="none")
    return _mean(semantic, on_object)


def _vote_loss(found: Detections, scenes: SceneBatch) -> Float[Tensor, ""]:
    target, on_object = _vote_targets(found, scenes)
    return _mean((found.votes - target).abs().sum(-1), on_object)


def _vote_targets(
    found: Detections, scenes: SceneBatch
) -> tuple[Float[Tensor, "batch seeds 3"], Bool[Tensor, "batch seeds"]]:
    """Returns the centre of each seed's object, and whether the seed lies on one."""
    return found.seeds + take(scenes.votes, found.seed_index), scenes.votes_valid.gather(1, found.seed_index)


def _centre_loss(
    found: Detections, scenes: SceneBatch, is_object: Bool[Tensor, "batch proposals"]
) -> Float[Tensor, ""]:
    """Squared Chamfer distance: from objects to boxes, and from boxes to the nearest proposals of any kind."""
    square = _square_distances(found.centres, scenes)
    return _mean(square.amin(-1), is_object) + _mean(square.amin(1), scenes.boxes_valid)


def _size_and_heading_loss(
    found: Detections,
    classes: Int[Tensor, "batch proposals"],
    sizes: Float[Tensor, "batch proposals 3"],
    is_object: Bool[Tensor, "batch proposals"],
) -> Float[Tensor, ""]:
    """Loss of size class and residual, and of the heading's residual, whose target is always 0.

    The cross-entropy of the heading bin is omitted: there is only one bin, so it is always 0.
    """
    size_class = F.cross_entropy(found.size_scores.transpose(1, 2), classes, reduction="none")
    of_class = classes[..., None, None].expand(-1, -1, 1, 3)
    residual = found.size_residuals.gather(2, of_class).squeeze(2)
    target = sizes / found.mean_sizes[classes] - 1
    size = F.huber_loss(residual, target, reduction="none").mean(-1)
    heading = F.huber_loss(found.heading[..., 1], torch.zeros_like(size), reduction="none")
    return _mean(0.1 * size_class + size + heading, is_object)


def _square_distances(
    places: Float[Tensor, "batch proposals 3"], scenes: SceneBatch
) -> Float[Tensor, "batch proposals boxes"]:
    """Returns squared distances to the centres of boxes; infinite for padding."""
    square = (places.unsqueeze(2) - scenes.boxes[:, None, :, :3]).square().sum(-1)
    return square.masked_fill(~scenes.boxes_valid.unsqueeze(1), torch.inf)


def _mean(values: Float[Tensor, "batch n"], mask: Bool[Tensor, "batch n"]) -> Float[Tensor, ""]:
    """Returns the mean over a mask; 0 if it is empty."""
    return values.masked_fill(~mask, 0).sum() / mask.sum().clamp_min(1)
