"""Objects grounded in what is said: called by their names, in their places, and seen by the one who asks.

VoteNet's features of a proposal come from coordinates relative to its own ball, so they say what an object is but not
where, and nothing ties them to words; ScanQA and SQA3D leave all of that to the fusion. Here four things are told to
it. Names: an object reads the words of a text that are like the names of its likely classes. Places: where its box is.
Looks: the colours of the points that voted for it, which else must come through the whole detector.
The asker: their viewpoint is estimated from what they say they stand by and face, and the question then meets objects
as seen from there, as in Situational Awareness Matters in 3D Vision Language Reasoning (SIG3D,
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

SEEN = 7
"""Numbers that say how an object is seen: see `seen_from`."""
SHARPNESS = 10.0
"""What the cosine of a word's and a name's vectors is multiplied by."""
ALIKE = 0.5
"""A word whose vector has this cosine with a name is read half."""
CONTRAST = 4.0
"""What colours, (value - mean) / 256, and heights are multiplied by, so that they weigh as much as the rest."""
VOTES_WITHIN_M = 0.3
"""Of a proposal: VoteNet gathers the same."""
MENTIONED = 4.0
"""By how much objects that a question names outscore others in the answer, before anything is learned."""


@dataclass(frozen=True)
class SeenObjects:
    """The objects of each question's scene.

    Attributes:
        tokens: What was made of them.
        boxes: Centre and full size of each.
        classes: Probabilities of each one's classes.
        looks: As `Grounding.look` gives them.
    """

    tokens: Tokens
    boxes: Float[Tensor, "questions objects 6"]
    classes: Float[Tensor, "questions objects classes"]
    looks: Float[Tensor, "questions objects features"]


@dataclass(frozen=True)
class ReadText:
    """Texts, as they were said and as they were read.

    Attributes:
        vectors: Of each word.
        tokens: What was made of each word.
        pooled: What was made of the whole.
    """

    vectors: Float[Tensor, "questions words word_dim"]
    tokens: Tokens
    pooled: Float[Tensor, "questions pooled"]


@dataclass(frozen=True)
class GroundedObjects:
    """Objects that know both texts.

    Attributes:
        objects: Their tokens.
        viewpoint: Where the asker stands, in the frame of the boxes.
        prior: What is added to each object's score where they are pooled to an answer: more for those that the question
            names.
        tally: Of the objects that the question names, see `Grounding`.
    """

    objects: Tokens
    viewpoint: ViewpointEstimate
    prior: Float[Tensor, "questions objects"]
    tally: Float[Tensor, "questions dim"]


class Grounding(nn.Module):
    """Guides objects by both texts, as `SceneTextFusion.guide` does, and tells it what the texts say of each of them.

    Objects that the question names are tallied besides: what each looks like and where the asker sees it goes through
    a small network and is *added* up (Deep Sets, https://arxiv.org/abs/1703.06114). Pooling by weights that sum to one
    can neither count nor tell that there is none, and what it pools has come through four layers of attention, which
    learn slowly what is plain here.

    Args:
        features: Of a point.
        text: Whose word vectors names are compared by.
        names: Of the detector's classes; one whose words are unknown, as "others", is learned.
        dim: Width of all tokens.
        pooled_dim: Width of the pooled situation.
    """

    names: Tensor

    def __init__(self, features: int, text: LstmText, names: Sequence[str], dim: int, pooled_dim: int) -> None:
        super().__init__()
        known = text.vocabulary.encode(names)
        self.register_buffer("names", known.ids, persistent=False)
        self.unknown_names = nn.Parameter(torch.randn(len(names), text.words.embedding_dim))
        self.situation_in, self.question_in = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.look_in = _embedding(features, dim)
        self.place_in, self.seen_in = _embedding(6, dim), _embedding(SEEN, dim)
        self.viewpoint = ViewpointPointer(dim, pooled_dim)
        self.mentioned = nn.Parameter(torch.tensor(MENTIONED))
        self.tally = _embedding(SEEN + features, dim)

    def forward(
        self, fusion: SceneTextFusion, words: nn.Embedding, seen: SeenObjects, situation: ReadText, question: ReadText
    ) -> GroundedObjects:
        """Objects that know both texts, and where the asker stands.

        Args:
            fusion: Its layers.
            words: Vectors of the words of names.
            seen: Objects of each question's scene.
            situation: Where the asker says they stand.
            question: As many.
        """
        objects = seen.tokens
        origin = middle(seen.boxes, objects.valid)
        boxes = torch.cat([seen.boxes[..., :3] - origin.unsqueeze(1), seen.boxes[..., 3:]], dim=-1)
        called = seen.classes @ self._name_vectors(words)
        named, _ = read_by_name(called, situation.vectors, situation.tokens)
        objects = objects.replace(objects.values + self.place_in(boxes) + self.situation_in(named))
        objects = fusion.guide_by_situation(objects, situation.tokens)
        estimate = self.viewpoint(objects, boxes[..., :3], situation.pooled)
        # The answer does not move the estimate: only where the asker truly stands does.
        still = ViewpointEstimate(estimate.position.detach(), estimate.quaternion.detach())
        named, mentioned = read_by_name(called, question.vectors, question.tokens)
        view = seen_from(still, boxes)
        objects = objects.replace(objects.values + self.seen_in(view) + self.question_in(named))
        objects = fusion.guide_by_question(objects, question.tokens)
        viewpoint = ViewpointEstimate(estimate.position + origin, estimate.quaternion)
        counted = torch.where(objects.valid, mentioned, 0).unsqueeze(-1)
        tally = counted * self.tally(torch.cat([view, seen.looks], dim=-1))
        return GroundedObjects(objects, viewpoint, self.mentioned * mentioned, tally.sum(1))

    def look(
        self, found: Detections, features: Float[Tensor, "scenes points features"]
    ) -> Float[Tensor, "scenes proposals features"]:
        """What the points that voted for each proposal look like on average; it goes into the tokens by `look_in`."""
        of_seeds = take(features, found.seed_index)
        near = (torch.cdist(found.clusters.detach(), found.votes.detach()) < VOTES_WITHIN_M).to(features.dtype)
        return CONTRAST * (near @ of_seeds) / near.sum(-1, keepdim=True).clamp_min(1)

    def _name_vectors(self, words: nn.Embedding) -> Float[Tensor, "classes word_dim"]:
        """The mean vector of each name's known words; a learned one where there are none."""
        known = (self.names > 0).unsqueeze(-1)
        total = (words(self.names) * known).sum(1)
        return torch.where(known.any(1), total / known.sum(1).clamp_min(1), self.unknown_names)


def read_by_name(
    called: Float[Tensor, "questions objects word_dim"], spoken: Float[Tensor, "questions words word_dim"], text: Tokens
) -> tuple[Float[Tensor, "questions objects dim"], Float[Tensor, "questions objects"]]:
    """What a text says at the words that are like an object's name, and how surely there are such words, 0 to 1.

    Args:
        called: Vector of what each object is called.
        spoken: Vector of each word.
        text: What the text encoder made of each word.
    """
    cosine = F.normalize(called, dim=-1) @ F.normalize(spoken, dim=-1).transpose(1, 2)
    scores = SHARPNESS * (cosine - ALIKE)
    scores = scores.masked_fill(~text.valid.unsqueeze(1), float("-inf"))
    weights = F.pad(scores, (1, 0)).softmax(-1)[..., 1:]
    return weights.to(text.values.dtype) @ text.values, weights.sum(-1)


class ViewpointPointer(nn.Module):
    """Finds what somebody stands by and what they face among a scene's objects, and from both where they stand.

    The place is the mean of the centres under one set of weights, and the gaze goes to their mean under another, each
    moved by what is regressed. A regression alone has to learn what the words point at from far less direct a signal.

    Args:
        dim: Width of the object tokens.
        told_dim: Width of the pooled situation.
    """

    def __init__(self, dim: int, told_dim: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 2))
        self.move = nn.Sequential(nn.Linear(told_dim + 2 * dim + 6, dim), nn.GELU(), nn.Linear(dim, 5))

    def forward(
        self,
        objects: Tokens,
        centres: Float[Tensor, "questions objects 3"],
        told: Float[Tensor, "questions told_dim"],
    ) -> ViewpointEstimate:
        """One estimate a question, in the frame of the centres."""
        scores = self.score(objects.values).float().masked_fill(~objects.valid.unsqueeze(-1), float("-inf"))
        weights = scores.softmax(1).transpose(1, 2)
        pointed = weights @ centres
        tokens = weights.to(objects.values.dtype) @ objects.values
        moves = self.move(torch.cat([told, tokens.flatten(1), pointed.flatten(1).to(told.dtype)], dim=-1)).float()
        position = pointed[:, 0] * pointed.new_tensor([1.0, 1.0, 0.0]) + moves[:, :3]
        gaze = pointed[:, 1, :2] + moves[:, 3:] - position[:, :2]
        return ViewpointEstimate(position, _looking(gaze))


def _looking(gaze: Float[Tensor, "questions 2"]) -> Float[Tensor, "questions 4"]:
    """The quaternion of somebody upright who looks that way: along their own -x axis."""
    half = torch.atan2(-gaze[:, 1], -gaze[:, 0]) / 2
    return torch.stack([torch.zeros_like(half), torch.zeros_like(half), half.sin(), half.cos()], dim=-1)


def middle(
    boxes: Float[Tensor, "scenes objects 6"], valid: Bool[Tensor, "scenes objects"]
) -> Float[Tensor, "scenes 3"]:
    """The mean centre of a scene's objects, on the floor: what places are given relative to, wherever a scan lies."""
    centres = torch.where(valid.unsqueeze(-1), boxes[..., :3], 0).sum(1) / valid.sum(1, keepdim=True)
    return centres * centres.new_tensor([1.0, 1.0, 0.0])


def seen_from(
    viewpoint: ViewpointEstimate, boxes: Float[Tensor, "questions objects 6"]
) -> Float[Tensor, "questions objects 7"]:
    """How somebody upright sees objects: metres ahead, to the left, up; distance and its logarithm; bearing.

    The bearing is the cosine and sine of the angle from the gaze to the object, counter-clockwise.
    """
    x, y, z, w = viewpoint.rotation.unbind(-1)
    forward = F.normalize(torch.stack([2 * (y * y + z * z) - 1, -2 * (x * y + z * w)], dim=-1), dim=-1)
    leftward = torch.stack([-forward[:, 1], forward[:, 0]], dim=-1)
    offset = boxes[..., :3] - viewpoint.position.unsqueeze(1)
    ahead = (offset[..., :2] * forward.unsqueeze(1)).sum(-1)
    left = (offset[..., :2] * leftward.unsqueeze(1)).sum(-1)
    distance = torch.stack([ahead, left], dim=-1).norm(dim=-1).clamp_min(0.1)
    seen = (ahead, left, offset[..., 2], distance, distance.log(), ahead / distance, left / distance)
    return torch.stack(seen, dim=-1)


def _embedding(numbers: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(numbers, dim), nn.GELU(), nn.Linear(dim, dim))
