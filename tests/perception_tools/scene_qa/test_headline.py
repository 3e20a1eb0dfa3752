"""The few numbers by which forms of a block are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.scene_qa.evaluate import evaluate_answerers
from perception_tools.scene_qa.headline import headline
from perception_tools.scene_qa.model import load_answerer


def test_they_are_the_evaluations_own(trained_answerer: Path, rooms_store: Path, tmp_path: Path) -> None:
    trained = load_answerer(trained_answerer)
    metrics = evaluate_answerers((trained_answerer,), rooms_store, tmp_path, split="test")
    assert headline(trained.model, trained, rooms_store, "test", None) == {
        "em1": metrics["em1"],
        "em10": metrics["em10"],
    }


def test_a_split_without_questions_is_refused(trained_answerer: Path, rooms_store: Path) -> None:
    trained = load_answerer(trained_answerer)
    with pytest.raises(InputError, match=r"expected .*nowhere"):
        headline(trained.model, trained, rooms_store, "nowhere", None)
