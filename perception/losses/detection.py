"""Training losses of object detection by votes (VoteNet, https://arxiv.org/abs/1904.09664, §4.3 and appendix)."""

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
"""One farther than this from all is none; in between nothing is learned about objectness."""
OBJECTNESS_WEIGHTS = (0.2, 0.8)
"""Of "no object" and "object"."""


@dataclass(frozen=True)
class DetectionLoss:
    """Parts of the detection loss.

    Attributes:
        vote: L1 distance from the votes of seeds on objects to their object's centre, metres.
        objectness: Cross-entropy of near and far proposals.
        box: Centre, size and heading of proposals that are objects.
        semantic: Cross-entropy of the class of proposals that are objects.
        seed_semantic: Cross-entropy of the class of seeds on objects; None where seeds are not named.
        semantic_weight: Of the last two in the total.
    """

    vote: Float[Tensor, ""]
    objectness: Float[Tensor, ""]
    box: Float[Tensor, ""]
    semantic: Float[Tensor, ""]
    seed_semantic: Float[Tensor, ""] | None = None
    semantic_weight: float = 0.1

    @property
    def total(self) -> Float[Tensor, ""]:
        """With the weights of VoteNet, ScanQA and SQA3D (before their common factor of 10)."""
        semantic = self.semantic if self.seed_semantic is None else self.semantic + self.seed_semantic
        return self.vote + 0.5 * self.objectness + self.box + self.semantic_weight * semantic


def detection_loss(found: Detections, scenes: SceneBatch, *, semantic_weight: float = 0.1) -> DetectionLoss:
    """How far proposals are from a scene's boxes. Scenes without boxes teach that nothing is an object."""
    distance = _square_distances(found.clusters, scenes).detach()
    square, nearest_box = distance.min(-1)
    is_object, is_far = square < NEAR_M**2, square > FAR_M**2
    # One box that pads stands in where a scene has none: its proposals are no objects, so nothing reads it.
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
    """A seed lies on the object whose centre it should vote for."""
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
    """The centre of each seed's object, and whether it lies on one."""
    return found.seeds + take(scenes.votes, found.seed_index), scenes.votes_valid.gather(1, found.seed_index)


def _centre_loss(
    found: Detections, scenes: SceneBatch, is_object: Bool[Tensor, "batch proposals"]
) -> Float[Tensor, ""]:
    """Squared Chamfer distance, both ways: from objects to boxes, and from boxes to whatever proposal is nearest."""
    square = _square_distances(found.centres, scenes)
    return _mean(square.amin(-1), is_object) + _mean(square.amin(1), scenes.boxes_valid)


def _size_and_heading_loss(
    found: Detections,
    classes: Int[Tensor, "batch proposals"],
    sizes: Float[Tensor, "batch proposals 3"],
    is_object: Bool[Tensor, "batch proposals"],
) -> Float[Tensor, ""]:
    """Size class and residual, and the residual of the heading, which is always 0.

    The cross-entropy of the heading's bin is left out: there is one bin, so it is always 0.
    """
    size_class = F.cross_entropy(found.size_scores.transpose(1, 2), classes, reduction="none")
    of_class = classes[..., None, None].expand(-1, -1, 1, 3)
    residual = found.size_residuals.gather(2, of_class).squeeze(2)
    wanted = sizes / found.mean_sizes[classes] - 1
    size = F.huber_loss(residual, wanted, reduction="none").mean(-1)
    heading = F.huber_loss(found.heading[..., 1], torch.zeros_like(size), reduction="none")
    return _mean(0.1 * size_class + size + heading, is_object)


def _square_distances(
    places: Float[Tensor, "batch proposals 3"], scenes: SceneBatch
) -> Float[Tensor, "batch proposals boxes"]:
    """To the centres of boxes; infinite to those that only pad."""
    square = (places.unsqueeze(2) - scenes.boxes[:, None, :, :3]).square().sum(-1)
    return square.masked_fill(~scenes.boxes_valid.unsqueeze(1), torch.inf)


def _mean(values: Float[Tensor, "batch n"], wanted: Bool[Tensor, "batch n"]) -> Float[Tensor, ""]:
    """Over those that are wanted; 0 where none is."""
    return values.masked_fill(~wanted, 0).sum() / wanted.sum().clamp_min(1)
