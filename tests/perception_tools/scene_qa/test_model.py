"""A scene answerer comes back from its file and answers alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception.texts.answers import AnswerVocabulary
from perception.texts.vocabulary import Vocabulary
from perception_tools.forecasting.model import load_model
from perception_tools.model_files import MODEL_FILE
from perception_tools.scene_qa.learning import KnownWords, build_answerer
from perception_tools.scene_qa.model import SceneQaTraining, load_answerer, save_answerer
from perception_tools.scene_qa.recipes import SceneQaRecipe

TRAINING = SceneQaTraining("scene-qa/rooms", "synthetic", scenes=3, questions=99, steps=7)
WORDS = KnownWords(Vocabulary(("is", "it", "red", "?")), AnswerVocabulary(("yes", "no", "two words")))


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("blind", [True, False])
def test_a_model_comes_back_from_its_file(
    tiny_answerer: SceneQaRecipe, tmp_path: Path, learned: bool, blind: bool
) -> None:
    recipe = replace(tiny_answerer, blind=blind, seed=4)
    words = WORDS if learned else replace(WORDS, vectors=torch.randn(5, 6))
    model = build_answerer(recipe, words, 2 * torch.ones(18, 3)).eval()
    save_answerer(tmp_path / MODEL_FILE, model, recipe, words, TRAINING)
    loaded = load_answerer(tmp_path)
    assert (loaded.recipe, loaded.training, loaded.answers) == (recipe, TRAINING, WORDS.answers)
    points, features = torch.rand(1, 200, 3), torch.rand(1, 200, 4)
    ours, theirs = (
        m(points, features, m.text.batch(["it"]), m.text.batch(["is it red?"]))[0].logits for m in (model, loaded.model)
    )
    assert torch.equal(ours, theirs)
    assert not loaded.model.training


def test_another_kind_of_model_is_refused_in_words(trained_answerer: Path, trained_run: Path) -> None:
    with pytest.raises(
        InputError, match=r"expected a file of format 'frozen-perception scene answerer 1', got .*forec"
    ):
        load_answerer(trained_run)
    with pytest.raises(
        InputError, match=r"expected a file of format 'frozen-perception forecaster 2', got .*scene ans"
    ):
        load_model(trained_answerer)
