"""`perception evaluate CHECKPOINT … --data DIR --out DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def evaluate(
    checkpoints: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="CHECKPOINT...")],
    data: Path,
    out: Path,
    split: str = "val",
    limit: int | None = None,
    data_name: str | None = None,
    batch: int = 8,
    device: str = "cpu",
) -> None:
    """Scores trained models: OUT/metrics.json and OUT/report.html (one self-contained page with pictures).

    The numbers of the first checkpoint are metrics.json's own; the others, and constant velocity, stand under `others`.

    Args:
        checkpoints: Run folders or model files; several are put side by side in the report.
        data: A raw Argoverse 1 or 2 folder, sensor logs, synthetic scenarios, or a prepared store.
        out: Folder for metrics.json and report.html.
        split: Which split to score.
        limit: Score the first so many scenarios only.
        data_name: What to call the data in the report, e.g. "AV1-mini (3,552/616)".
        batch: Scenarios in one call of the model.
        device: Where the model runs: cpu, cuda.
    """
    from perception_tools.forecasting.evaluate import evaluate_models

    evaluate_models(checkpoints, data, out, split=split, limit=limit, data_name=data_name, batch=batch, device=device)
