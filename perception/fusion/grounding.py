"""Grounds objects in the texts by their names, positions and appearance, and in the viewpoint of the asker.

VoteNet computes the features of a proposal from coordinates relative to its ball. So they describe what an object is,
but not where it is, and nothing relates them to words. ScanQA and SQA3D leave that to the fusion. Here the fusion gets
four further inputs:

- Names: an object attends to the words of a text that resemble the names of its likely classes.
- Position: the box of the object.
- Appearance: the mean colour of the points that voted for it, which otherwise must pass through the whole detector.
- Viewpoint: estimated from what the situation says the asker stands by and faces. The question then guides objects as
  seen from there, as in Situational Awareness Matters in 3D Vision Language Reasoning (SIG3D,
  https://arxiv.org/abs/2406.07544).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from perception.clouds.grouping import take
from perception.encoders.text import LstmText
from perception.encoders.votenet import Detections
from perception.fusion.mcan import SceneTextFusion
from perception.scenes.viewpoint import ViewpointEstimate
from perception.tokens import Tokens

VIEW_FEATURES = 7
"""Number of features of `view_from`."""
SIMILARITY_SCALE = 10.0
"""Factor of the cosine similarity between the vectors of a word and a name in the attention scores."""
SIMILARITY_THRESHOLD = 0.5
"""Cosine similarity at which a single word gets half of the attention."""
APPEARANCE_SCALE = 4.0
"""Factor of colours, (value - mean) / 256, and heights, so that they are as large as the other features."""
VOTE_RADIUS_M = 0.3
"""Votes within this distance of a proposal belong to it, as in VoteNet."""
INITIAL_MENTION_WEIGHT = 4.0
"""Initial bonus of objects that the question names in the scores of the answer's pooling."""


@dataclass(frozen=True)
class SceneObjects:
    """The objects of each question's scene.

    Attributes:
        tokens: Object tokens.
        boxes: Centre and full size of each object; scene frame, metres.
        classes: Class probabilities of each object.
        appearance: Output of `Grounding.appearance`.
    """

    tokens: Tokens
    boxes: Float[Tensor, "questions objects 6"]
    classes: Float[Tensor, "questions objects classes"]
    appearance: Float[Tensor, "questions objects features"]


@dataclass(frozen=True)
class EncodedText:
    """Texts with their word vectors and encodings.

    Attributes:
        word_vectors: Vector of each word.
        tokens: Token of each word.
        pooled: Pooled vector of the text.
    """

    word_vectors: Float[Tensor, "questions words word_dim"]
    tokens: Tokens
    pooled: Float[Tensor, "questions pooled"]


@dataclass(frozen=True)
class GroundedObjects:
    """Objects guided by both texts.

    Attributes:
        objects: Object tokens.
        viewpoint: Estimated viewpoint of the asker, in the frame of the boxes.
        prior: Bonus of each object in the scores of the answer's pooling, for objects that the question names.
        mentions: Sum of the features of the objects that the question names, see `Grounding`.
    """

    objects: Tokens
    viewpoint: ViewpointEstimate
    prior: Float[Tensor, "questions objects"]
    mentions: Float[Tensor, "questions dim"]


class Grounding(nn.Module):
    """Guides objects by both texts like `SceneTextFusion.guide`, with names, positions, appearance and viewpoint.

    In addition, a small network encodes appearance and view of the objects that the question names, and the results are
    *summed* (Deep Sets, https://arxiv.org/abs/1703.06114). Pooling with weights that sum to one cannot count objects or
    detect that there are none, and its inputs have passed four layers of attention, which learn this slowly.

    Args:
        features: Number of features per point.
        text: Text encoder whose word vectors are compared with names.
        names: Names of the detector's classes. The vector of a name without known words, such as "others", is learned.
        dim: Width of all tokens.
        pooled_dim: Width of the pooled situation.
    """

    names: Tensor

    def __init__(self, features: int, text: LstmText, names: Sequence[str], dim: int, pooled_dim: int) -> None:
        super().__init__()
        # The names of these attributes are keys in saved checkpoints.
        known = text.vocabulary.encode(names)
        self.register_buffer("names", known.ids, persistent=False)
        self.unknown_names = nn.Parameter(torch.randn(len(names), text.words.embedding_dim))
        self.situation_in, self.question_in = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.look_in = _embedding(features, dim)
        self.place_in, self.seen_in = _embedding(6, dim), _embedding(VIEW_FEATURES, dim)
        self.viewpoint = ViewpointPointer(dim, pooled_dim)
        self.mentioned = nn.Parameter(torch.tensor(INITIAL_MENTION_WEIGHT))
        self.tally = _embedding(VIEW_FEATURES + features, dim)

    def forward(
        self,
        fusion: SceneTextFusion,
        words: nn.Embedding,
        scene: SceneObjects,
        situation: EncodedText,
        question: EncodedText,
    ) -> GroundedObjects:
        """Guides the objects by both texts and estimates the viewpoint of the asker.

        Args:
            fusion: Layers that guide objects by texts.
            words: Word embedding for the names.
            scene: Objects of each question's scene.
            situation: Situation of each question.
            question: Questions.
        """
        objects = scene.tokens
        origin = floor_centre(scene.boxes, objects.valid)
        boxes = torch.cat([scene.boxes[..., :3] - origin.unsqueeze(1), scene.boxes[..., 3:]], dim=-1)
        names = scene.classes @ self._name_vectors(words)
        gathered, _ = attend_by_name(names, situation.word_vectors, situation.tokens)
        objects = objects.replace(objects.values + self.place_in(boxes) + self.situation_in(gathered))
        objects = fusion.guide_by_situation(objects, situation.tokens)
        estimate = self.viewpoint(objects, boxes[..., :3], situation.pooled)
        # Detached, so that only the viewpoint loss trains the estimate, not the answer.
        detached = ViewpointEstimate(estimate.position.detach(), estimate.quaternion.detach())
        gathered, mentioned = attend_by_name(names, question.word_vectors, question.tokens)
        view = view_from(detached, boxes)
        objects = objects.replace(objects.values + self.seen_in(view) + self.question_in(gathered))
        objects = fusion.guide_by_question(objects, question.tokens)
        viewpoint = ViewpointEstimate(estimate.position + origin, estimate.quaternion)
        weights = torch.where(objects.valid, mentioned, 0).unsqueeze(-1)
        mention_features = weights * self.tally(torch.cat([view, scene.appearance], dim=-1))
        return GroundedObjects(objects, viewpoint, self.mentioned * mentioned, mention_features.sum(1))

    def appearance(
        self, detections: Detections, features: Float[Tensor, "scenes points features"]
    ) -> Float[Tensor, "scenes proposals features"]:
        """Returns the scaled mean features of the points that voted for each proposal; `look_in` embeds them."""
        seed_features = take(features, detections.seed_index)
        distance = torch.cdist(detections.clusters.detach(), detections.votes.detach())
        near = (distance < VOTE_RADIUS_M).to(features.dtype)
        return APPEARANCE_SCALE * (near @ seed_features) / near.sum(-1, keepdim=True).clamp_min(1)

    def _name_vectors(self, words: nn.Embedding) -> Float[Tensor, "classes word_dim"]:
        """Returns the mean vector of each name's known words; a learned vector if there are none."""
        known = (self.names > 0).unsqueeze(-1)
        total = (words(self.names) * known).sum(1)
        return torch.where(known.any(1), total / known.sum(1).clamp_min(1), self.unknown_names)


def attend_by_name(
    names: Float[Tensor, "questions objects word_dim"], words: Float[Tensor, "questions words word_dim"], text: Tokens
) -> tuple[Float[Tensor, "questions objects dim"], Float[Tensor, "questions objects"]]:
    """Attends from objects to the words that resemble their names.

    Args:
        names: Vector of each object's name.
        words: Vector of each word.
        text: Token of each word.

    Returns:
        The attended tokens, and the total attention of each object, which is near 1 if the text contains its name and
        near 0 otherwise.
    """
    cosine = F.normalize(names, dim=-1) @ F.normalize(words, dim=-1).transpose(1, 2)
    scores = SIMILARITY_SCALE * (cosine - SIMILARITY_THRESHOLD)
    scores = scores.masked_fill(~text.valid.unsqueeze(1), float("-inf"))
    weights = F.pad(scores, (1, 0)).softmax(-1)[..., 1:]
    return weights.to(text.values.dtype) @ text.values, weights.sum(-1)


class ViewpointPointer(nn.Module):
    """Estimates the asker's viewpoint from the objects that they stand by and that they face.

    The position is a weighted mean of the object centres, and the gaze points at a weighted mean with other weights;
    a regressed offset is added to each. A regression alone gets a much less direct signal about the objects that the
    words refer to.

    Args:
        dim: Width of the object tokens.
        situation_dim: Width of the pooled situation.
    """

    def __init__(self, dim: int, situation_dim: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 2))
        self.move = nn.Sequential(nn.Linear(situation_dim + 2 * dim + 6, dim), nn.GELU(), nn.Linear(dim, 5))

    def forward(
        self,
        objects: Tokens,
        centres: Float[Tensor, "questions objects 3"],
        situation: Float[Tensor, "questions situation_dim"],
    ) -> ViewpointEstimate:
        """Returns one estimate per question, in the frame of the centres."""
        scores = self.score(objects.values).float().masked_fill(~objects.valid.unsqueeze(-1), float("-inf"))
        weights = scores.softmax(1).transpose(1, 2)
        targets = weights @ centres
        tokens = weights.to(objects.values.dtype) @ objects.values
        inputs = torch.cat([situation, tokens.flatten(1), targets.flatten(1).to(situation.dtype)], dim=-1)
        offsets = self.move(inputs).float()
        position = targets[:, 0] * targets.new_tensor([1.0, 1.0, 0.0]) + offsets[:, :3]
        gaze = targets[:, 1, :2] + offsets[:, 3:] - position[:, :2]
        return ViewpointEstimate(position, _upright_quaternion(gaze))


def _upright_quaternion(gaze: Float[Tensor, "questions 2"]) -> Float[Tensor, "questions 4"]:
    """Returns the quaternion of an upright person who looks along the gaze, which is their -x axis."""
    half = torch.atan2(-gaze[:, 1], -gaze[:, 0]) / 2
    return torch.stack([torch.zeros_like(half), torch.zeros_like(half), half.sin(), half.cos()], dim=-1)


def floor_centre(
    boxes: Float[Tensor, "scenes objects 6"], valid: Bool[Tensor, "scenes objects"]
) -> Float[Tensor, "scenes 3"]:
    """Returns the mean centre of a scene's objects at z = 0, an origin that does not depend on the scan's frame."""
    centres = torch.where(valid.unsqueeze(-1), boxes[..., :3], 0).sum(1) / valid.sum(1, keepdim=True)
    return centres * centres.new_tensor([1.0, 1.0, 0.0])


def view_from(
    viewpoint: ViewpointEstimate, boxes: Float[Tensor, "questions objects 6"]
) -> Float[Tensor, "questions objects 7"]:
    """Returns objects as seen by an upright person: metres ahead, left and up, distance, its logarithm, and bearing.

    The bearing is the cosine and sine of the counter-clockwise angle from the gaze to the object.
    """
    x, y, z, w = viewpoint.rotation.unbind(-1)
    forward = F.normalize(torch.stack([2 * (y * y + z * z) - 1, -2 * (x * y + z * w)], dim=-1), dim=-1)
    leftward = torch.stack([-forward[:, 1], forward[:, 0]], dim=-1)
    offset = boxes[..., :3] - viewpoint.position.unsqueeze(1)
    ahead = (offset[..., :2] * forward.unsqueeze(1)).sum(-1)
    left = (offset[..., :2] * leftward.unsqueeze(1)).sum(-1)
    distance = torch.stack([ahead, left], dim=-1).norm(dim=-1).clamp_min(0.1)
    features = (ahead, left, offset[..., 2], distance, distance.log(), ahead / distance, left / distance)
    return torch.stack(features, dim=-1)


def _embedding(features: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, dim), nn.GELU(), nn.Linear(dim, dim))
