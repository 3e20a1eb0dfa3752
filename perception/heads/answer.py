"""Heads for answers to questions about a scene and for the asker's viewpoint, as in SQA3D.

SQA3D: Situated Question Answering in 3D Scenes (https://arxiv.org/abs/2210.07474).
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from perception.scenes.viewpoint import ViewpointEstimate


@dataclass(frozen=True)
class SceneAnswers:
    """Answers to questions.

    Attributes:
        logits: Logit of every known answer.
        evidence: Weight of each proposal in the answer; they sum to 1 and are 0 for proposals that are not objects.
            None if the model does not see the scene.
        viewpoint: Estimated viewpoint of the asker; None if it is not estimated.
        one_answer: Whether answers compete. Otherwise each is scored independently, since several may be right (SQA3D).
    """

    logits: Float[Tensor, "questions answers"]
    evidence: Float[Tensor, "questions proposals"] | None
    viewpoint: ViewpointEstimate | None
    one_answer: bool = False

    @property
    def probabilities(self) -> Float[Tensor, "questions answers"]:
        """Probability of every known answer to be right; they sum to 1 if answers compete."""
        return self.logits.softmax(-1) if self.one_answer else self.logits.sigmoid()


class AnswerHead(nn.Sequential):
    """Maps pooled features to a logit of every answer.

    Args:
        features: Total width of the pooled features.
        dim: Width of the hidden layer.
        answers: Number of known answers.
        dropout: Dropout of the hidden layer.
    """

    def __init__(self, features: int, dim: int, answers: int, dropout: float = 0.3) -> None:
        super().__init__(nn.Linear(features, dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, answers))


class ViewpointHead(nn.Module):
    """Maps pooled features to the viewpoint of the asker.

    Args:
        features: Total width of the pooled features.
        dim: Width of the hidden layer.
        dropout: Dropout of the hidden layer.
    """

    def __init__(self, features: int, dim: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, 7))

    def forward(self, pooled: Float[Tensor, "questions features"]) -> ViewpointEstimate:
        """Returns one estimate per question."""
        position, quaternion = self.layers(pooled).split([3, 4], dim=-1)
        return ViewpointEstimate(position, quaternion)
