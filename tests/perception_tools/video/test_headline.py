from __future__ import annotations

from pathlib import Path

import pytest

from perception_tools.video.evaluate import evaluate_recognizers
from perception_tools.video.headline import headline
from perception_tools.video.model import load_recognizer


@pytest.mark.parametrize("limit", [None, 3])
def test_they_are_the_evaluations_own_in_one_view(
    limit: int | None, trained_recognizer: Path, clips: Path, tmp_path: Path
) -> None:
    trained = load_recognizer(trained_recognizer)
    metrics = evaluate_recognizers(
        (trained_recognizer,), clips, tmp_path, temporal_views=1, spatial_views=1, limit=limit
    )
    found = headline(trained.model, trained, clips, "val", limit)
    assert found == {"top1": metrics["top1"], "top5": metrics["top5"]}
