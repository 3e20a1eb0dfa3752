"""Training losses of answers; for questions about scenes as in SQA3D (https://arxiv.org/abs/2210.07474)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from perception.batches import TensorRecord
from perception.heads.answer import SceneAnswers
from perception.losses.detection import DetectionLoss
from perception.scenes.viewpoint import ViewpointEstimate


@dataclass(frozen=True)
class AnswerTargets(TensorRecord):
    """Targets of answers and viewpoints.

    Attributes:
        scores: Score of each known answer, 0 to 1.
        positions: Position of each asker; scene frame, metres.
        rotations: Unit quaternion of each asker, x, y, z, w.
        located: False if position and rotation are unknown.
    """

    scores: Float[Tensor, "questions answers"]
    positions: Float[Tensor, "questions 3"]
    rotations: Float[Tensor, "questions 4"]
    located: Bool[Tensor, " questions"]


@dataclass(frozen=True)
class SceneAnswerLoss:
    """Parts of the loss.

    Attributes:
        answer: Cross-entropy, summed over answers and averaged over questions.
        viewpoint: Squared errors of position and rotation; None if it is not estimated.
        detection: Loss of the detector; None without boxes or if it is not trained.
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


def answer_loss(
    logits: Float[Tensor, "questions answers"], scores: Float[Tensor, "questions answers"]
) -> Float[Tensor, ""]:
    """Returns the cross-entropy of independent answers, summed over answers and averaged over questions.

    That is what SQA3D's code, and METER's (their mean times the number of answers), minimise.

    Args:
        logits: Logit of each answer.
        scores: What each answer is worth, 0 to 1.
    """
    return F.binary_cross_entropy_with_logits(logits, scores, reduction="sum") / len(scores)


def scene_answer_loss(
    answers: SceneAnswers,
    targets: AnswerTargets,
    detection: DetectionLoss | None = None,
) -> SceneAnswerLoss:
    """Computes the loss of answers and, if estimated, of the viewpoint.

    Args:
        answers: Predicted answers.
        targets: Targets, with at least one right answer to every question if answers compete. Rare answers are then
            learned several times sooner than with independent scores, which SQA3D uses.
        detection: Detection loss to include in the total.
    """
    if answers.one_answer:
        distribution = targets.scores / targets.scores.sum(-1, keepdim=True)
        cross_entropy = F.cross_entropy(answers.logits, distribution, reduction="sum")
        answer = cross_entropy / len(targets.scores)
    else:
        answer = answer_loss(answers.logits, targets.scores)
    viewpoint = None if answers.viewpoint is None else _viewpoint_loss(answers.viewpoint, targets)
    return SceneAnswerLoss(answer, viewpoint, detection)


def _viewpoint_loss(estimate: ViewpointEstimate, targets: AnswerTargets) -> Float[Tensor, ""]:
    """Returns the sum of the mean squared errors of coordinates and quaternions of the located askers.

    A quaternion and its negative are the same rotation, so the nearer one counts. SQA3D uses the annotated one.
    """
    position = (estimate.position - targets.positions).square().mean(-1)
    signs = estimate.quaternion.new_tensor([1.0, -1.0])[:, None, None]
    rotation = (estimate.quaternion - signs * targets.rotations).square().mean(-1).amin(0)
    located = targets.located
    return torch.where(located, position + rotation, 0).sum() / located.sum().clamp_min(1)
