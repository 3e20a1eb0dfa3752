"""Consistency of answers to one question asked from several viewpoints: Real-3DQA's viewpoint rotation score.

Ma et al., *Do 3D Large Language Models Really Understand 3D Spatial Relationships?* (ICLR 2026),
https://arxiv.org/abs/2603.23523; `evaluate_rotation_robustness.py` of https://github.com/xianzhengma/Real-3DQA.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from perception.metrics.bootstrap import bootstrap_interval


@dataclass(frozen=True)
class RotationConsistency:
    """How often the same question is answered correctly from each viewpoint.

    Attributes:
        questions: Number of questions.
        at_least: Share of questions that are right from at least one viewpoint, at least two, … up to all. The last
            one is the consistency: right whichever way the asker faces.
        score: Mean of `at_least`, printed as VRS. It equals the mean accuracy over the viewpoints, so it says nothing
            about consistency by itself.
        intervals: 95 % bootstrap interval over questions of each of `at_least`.
    """

    questions: int
    at_least: tuple[float, ...]
    score: float
    intervals: tuple[tuple[float, float], ...]

    @classmethod
    def count(cls, hits: Bool[np.ndarray, "questions viewpoints"], seed: int = 0) -> RotationConsistency:
        """Counts the viewpoints from which each question is answered correctly."""
        right, viewpoints = hits.sum(axis=1), hits.shape[1]
        reached = (right[:, None] >= np.arange(1, viewpoints + 1)).astype(np.float64)
        low, high = bootstrap_interval(reached, seed)
        return cls(
            questions=len(hits),
            at_least=tuple(reached.mean(axis=0).tolist()),
            score=float(reached.mean()),
            intervals=tuple(zip(low.tolist(), high.tolist(), strict=True)),
        )
