"""Training loss of answering questions about scenes, weighted as in SQA3D (https://arxiv.org/abs/2210.07474)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from perception.batches import TensorRecord
from perception.heads.answer import SceneAnswers, ViewpointEstimate
from perception.losses.detection import DetectionLoss


@dataclass(frozen=True)
class AnswerTargets(TensorRecord):
    """What should be answered.

    Attributes:
        scores: How right each known answer is, 0 to 1.
        positions: Where each asker stands; scene frame, metres.
        rotations: Their unit quaternions, x, y, z, w.
        located: False where position and rotation are unknown.
    """

    scores: Float[Tensor, "questions answers"]
    positions: Float[Tensor, "questions 3"]
    rotations: Float[Tensor, "questions 4"]
    located: Bool[Tensor, " questions"]


@dataclass(frozen=True)
class SceneAnswerLoss:
    """Parts of the loss.

    Attributes:
        answer: Cross-entropy, summed over answers, mean over questions.
        viewpoint: Squared errors of position and rotation; None where it is not estimated.
        detection: None where boxes are not known or not wanted.
    """

    answer: Float[Tensor, ""]
    viewpoint: Float[Tensor, ""] | None
    detection: DetectionLoss | None

    @property
    def total(self) -> Float[Tensor, ""]:
        """SQA3D's 10 · (detection + 0.1 · viewpoint + 0.1 · answer)."""
        total = self.answer
        if self.viewpoint is not None:
            total = total + self.viewpoint
        return total if self.detection is None else total + 10 * self.detection.total


def scene_answer_loss(
    answers: SceneAnswers,
    targets: AnswerTargets,
    detection: DetectionLoss | None = None,
) -> SceneAnswerLoss:
    """What answers and, where it was estimated, the viewpoint are from the truth.

    Args:
        answers: That were given.
        targets: That were wanted; with at least one right answer to every question where answers compete. Rare answers
            are then learned several times sooner than where each is judged for itself, as SQA3D does.
        detection: Goes into the total.
    """
    if answers.one_answer:
        wanted = targets.scores / targets.scores.sum(-1, keepdim=True)
        cross_entropy = F.cross_entropy(answers.logits, wanted, reduction="sum")
    else:
        cross_entropy = F.binary_cross_entropy_with_logits(answers.logits, targets.scores, reduction="sum")
    viewpoint = None if answers.viewpoint is None else _viewpoint_loss(answers.viewpoint, targets)
    return SceneAnswerLoss(cross_entropy / len(targets.scores), viewpoint, detection)


def _viewpoint_loss(estimate: ViewpointEstimate, targets: AnswerTargets) -> Float[Tensor, ""]:
    """Mean squared errors of the located askers' coordinates and quaternions, added.

    A quaternion and its negative are the same rotation; the nearer counts. SQA3D compares with the one that is written.
    """
    position = (estimate.position - targets.positions).square().mean(-1)
    signs = estimate.quaternion.new_tensor([1.0, -1.0])[:, None, None]
    rotation = (estimate.quaternion - signs * targets.rotations).square().mean(-1).amin(0)
    located = targets.located
    return torch.where(located, position + rotation, 0).sum() / located.sum().clamp_min(1)
