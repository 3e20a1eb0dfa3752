"""Questions that remain when those which a model without the scene answers are left out.

A language model that is trained on the questions and answers alone matches models with 3-D input on SQA3D, ScanQA and
MSR3D (Ma et al., ICLR 2026, https://arxiv.org/abs/2603.23523), so scores over all questions say little about what a
model sees. Real-3DQA publishes the questions of SQA3D that its authors' blind models miss; this filter does the same
with any blind model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from perception.metrics.question_answering import AnswerTable

FILTER_RULE = "em1_cleaned"
"""The rule by which a blind model's answer counts as right."""


def missed_by_blind(blind: Sequence[AnswerTable]) -> Bool[np.ndarray, " questions"]:
    """Returns whether no blind model's first answer to a question is right by `FILTER_RULE`."""
    return ~np.any([table.column(FILTER_RULE) == 1 for table in blind], axis=0)
