"""The headline: the numbers of an evaluation, also of a model whose block was exchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception.frozen.adapter import build_adapter
from perception_tools.image_text.evaluate import evaluate_image_text
from perception_tools.image_text.headline import headline
from perception_tools.image_text.model import load_image_text


def test_it_is_the_accuracy_of_an_evaluation(trained_answers: Path, questions_folder: Path, tmp_path: Path) -> None:
    expected = evaluate_image_text((trained_answers,), questions_folder, tmp_path, limit=10)
    trained = load_image_text(trained_answers)
    told = headline(trained.model, trained, questions_folder, "val", 10)
    assert told == {"accuracy": pytest.approx(expected["accuracy"]["overall"])}
    exchanged = trained.model.with_block(build_adapter(16, kind="none")).eval()
    assert headline(exchanged, trained, questions_folder, "val", 10).keys() == told.keys()


def test_it_is_the_recall_of_an_evaluation(trained_ranks: Path, captions_folder: Path, tmp_path: Path) -> None:
    expected = evaluate_image_text((trained_ranks,), captions_folder, tmp_path)
    trained = load_image_text(trained_ranks)
    told = headline(trained.model, trained, captions_folder, "val", None)
    assert told == {name: expected["recall"][name]["1"] for name in ("image_retrieval", "text_retrieval")}
