"""Published forecasting numbers, each with the data that it was measured on.

Only rows that were read in the named source or measured by us; numbers recalled from papers are left out. Values of
different training or evaluation data are context, never a comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

FULL_AV1 = "Argoverse 1, full train / val"
AV1_MINI = "AV1-mini (3,552/616)"
"""Trained on 1.7 % of Argoverse 1, evaluated on 616 of its val scenes."""

ENDPOINT_RULE = "minADE of the mode with the best end point; a miss ends more than 2.0 m off"
"""Rule of argoverse-api, HiVT and QCNet."""
PAPERS_RULE = f"not stated; its baselines' code takes the {ENDPOINT_RULE}"

PAPER = "Pang et al., ICLR 2024, Table 4"
PAPER_CONTROLS = "Pang et al., ICLR 2024, Table B (the random block is trained)"
MM_TRANSFORMER = "decisionforce/mmTransformer, README"
STREAMING = "ziqipang/StreamingForecasting"


@dataclass(frozen=True)
class PublishedRow:
    """One published result for the focal agent.

    Attributes:
        method: As its authors call it.
        data: Trained on / evaluated on; equal to a report's `data_name` only where the scenes are the same.
        source: Where the number can be read, or who measured it.
        k: How many modes were scored.
        min_ade_endpoint: Metres, ADE of the endpoint-best mode.
        min_fde: Metres.
        miss_rate: A share, not per cent.
        min_ade: Metres, minimum over the modes; None where not given.
        brier_min_fde: None where not given.
        rule: By which rule minADE and misses were counted.
    """

    method: str
    data: str
    source: str
    k: int
    min_ade_endpoint: float
    min_fde: float
    miss_rate: float
    min_ade: float | None = None
    brier_min_fde: float | None = None
    rule: str = ENDPOINT_RULE


PUBLISHED = (
    PublishedRow("VectorNet", FULL_AV1, PAPER, 6, 0.77, 1.23, 0.132, rule=PAPERS_RULE),
    PublishedRow("VectorNet + LLaMA", FULL_AV1, PAPER, 6, 0.76, 1.20, 0.127, rule=PAPERS_RULE),
    PublishedRow("mmTransformer", FULL_AV1, PAPER, 6, 0.72, 1.10, 0.107, rule=PAPERS_RULE),
    PublishedRow("mmTransformer + LLaMA", FULL_AV1, PAPER, 6, 0.71, 1.08, 0.105, rule=PAPERS_RULE),
    PublishedRow("mmTransformer + MLP", FULL_AV1, PAPER_CONTROLS, 6, 0.74, 1.16, 0.118, rule=PAPERS_RULE),
    PublishedRow("mmTransformer + random block", FULL_AV1, PAPER_CONTROLS, 6, 0.74, 1.15, 0.115, rule=PAPERS_RULE),
    PublishedRow("mmTransformer, its paper", FULL_AV1, MM_TRANSFORMER, 6, 0.713, 1.153, 0.106),
    PublishedRow("mmTransformer, its released weights", FULL_AV1, MM_TRANSFORMER, 6, 0.709, 1.081, 0.102),
    PublishedRow("VectorNet", FULL_AV1, STREAMING, 6, 0.774, 1.193, 0.126),
    PublishedRow("VectorNet", FULL_AV1, STREAMING, 1, 1.536, 3.374, 0.555),
    PublishedRow(
        "VectorNet (AGENT only, batch 8, 36 epochs)",
        AV1_MINI,
        f"{STREAMING}, its best setting, trained and measured by us",
        6,
        1.070,
        1.879,
        0.260,
        min_ade=1.003,
        brier_min_fde=2.515,
    ),
    PublishedRow(
        "VectorNet (AGENT only, batch 32, 24 epochs)",
        AV1_MINI,
        f"{STREAMING}, single-mode head, trained and measured by us",
        1,
        2.007,
        4.457,
        0.685,
    ),
    PublishedRow("constant velocity", AV1_MINI, "measured by us", 1, 2.521, 5.711, 0.747),
)
