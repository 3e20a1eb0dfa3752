"""Published accuracies of the paper's models of point clouds, for the report. No row is a measurement of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SETS = {
    "bg": "ScanObjectNN OBJ_BG",
    "only": "OBJ_ONLY",
    "t50": "PB_T50_RS",
    "1k": "ModelNet40 1k",
    "4k": "4k",
    "8k": "8k",
}
"""Name of a set → heading."""
TABLE_2 = "Pang et al., ICLR 2024, Tables 2 and B"
"""Where the rows are from; the first is what Point-BERT's authors released."""


@dataclass(frozen=True)
class PublishedTop1:
    """One published row: top-1 accuracy in per cent by the names of `SETS`."""

    method: str
    top1: Mapping[str, float]


def _row(method: str, *numbers: float) -> PublishedTop1:
    return PublishedTop1(method, dict(zip(SETS, numbers, strict=False)))


PUBLISHED = (
    _row("Point-BERT (its authors' release, as Table 2 quotes it)", 87.43, 88.12, 83.07, 92.67, 92.91, 93.19),
    _row("Point-BERT + frozen LLaMA", 88.0, 88.5, 83.8, 92.42, 92.82, 93.56),
    _row("Point-BERT + MLP", 86.5, 87.3, 83.4),
    _row("Point-BERT + random block, trained", 87.2, 88.0, 82.6),
)
"""The best epoch on the test clouds, as in the code of all of them."""
