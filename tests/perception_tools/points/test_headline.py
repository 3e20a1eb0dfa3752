from __future__ import annotations

from pathlib import Path

from perception_tools.points.headline import headline
from perception_tools.points.model import load_classifier


def test_folding_leaves_the_headline_as_it_is(trained_points: Path, clouds: Path) -> None:
    trained = load_classifier(trained_points)
    numbers = headline(trained.model, trained, clouds, "test", 6)
    assert numbers.keys() == {"top1", "top5"}
    assert headline(trained.model.folded(), trained, clouds, "test", 6) == numbers
