"""Answers to questions about a scene, and where the asker stands, as SQA3D's heads (https://arxiv.org/abs/2210.07474)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class SceneAnswers:
    """What is answered to some questions.

    Attributes:
        logits: Of every known answer.
        evidence: How much each proposal weighs in the answer; 0 where a proposal is no object, 1 in sum. None where
            the scene is not seen.
        viewpoint: Where the asker stands; None where that is not estimated.
        one_answer: Whether answers compete; else each is judged for itself, since more than one may be right (SQA3D).
    """

    logits: Float[Tensor, "questions answers"]
    evidence: Float[Tensor, "questions proposals"] | None
    viewpoint: ViewpointEstimate | None
    one_answer: bool = False

    @property
    def probabilities(self) -> Float[Tensor, "questions answers"]:
        """Of every known answer to be right; they sum to 1 where answers compete."""
        return self.logits.softmax(-1) if self.one_answer else self.logits.sigmoid()


@dataclass(frozen=True)
class ViewpointEstimate:
    """Where askers stand and which way they face.

    Attributes:
        position: Scene frame, metres.
        quaternion: As it was regressed, x, y, z, w; see `rotation`.
    """

    position: Float[Tensor, "questions 3"]
    quaternion: Float[Tensor, "questions 4"]

    @property
    def rotation(self) -> Float[Tensor, "questions 4"]:
        """The unit quaternion, as `perception.scenes.scene.Viewpoint.rotation`."""
        return F.normalize(self.quaternion, dim=-1)


class AnswerHead(nn.Sequential):
    """Pooled features to a logit of every answer.

    Args:
        features: Width of what is pooled, all together.
        dim: Of the hidden layer.
        answers: How many are known.
        dropout: Of the hidden layer.
    """

    def __init__(self, features: int, dim: int, answers: int, dropout: float = 0.3) -> None:
        super().__init__(nn.Linear(features, dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, answers))


class ViewpointHead(nn.Module):
    """Pooled features to where the asker stands.

    Args:
        features: Width of what is pooled, all together.
        dim: Of the hidden layer.
        dropout: Of the hidden layer.
    """

    def __init__(self, features: int, dim: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, 7))

    def forward(self, pooled: Float[Tensor, "questions features"]) -> ViewpointEstimate:
        """One estimate a question."""
        position, quaternion = self.layers(pooled).split([3, 4], dim=-1)
        return ViewpointEstimate(position, quaternion)
