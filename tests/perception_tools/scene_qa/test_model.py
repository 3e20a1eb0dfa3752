"""A scene answerer from its recipe; from its file it comes back and answers alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception.models.scene_answerer import SceneInput
from perception.texts.answers import AnswerVocabulary
from perception.texts.vocabulary import Vocabulary
from perception_tools.forecasting.model import load_model
from perception_tools.model_metadata import MODEL_FILE
from perception_tools.scene_qa.model import (
    KnownWords,
    SceneQaTraining,
    build_answerer,
    load_answerer,
    load_detector,
    save_answerer,
)
from perception_tools.scene_qa.recipes import SceneQaRecipe

SIZES = torch.ones(18, 3)
TRAINING = SceneQaTraining("scene-qa/rooms", "synthetic", scenes=3, questions=99, steps=7)
WORDS = KnownWords(Vocabulary(("is", "it", "red", "?")), AnswerVocabulary(("yes", "no", "two words")))


def test_a_model_is_that_of_its_seed(tiny_answerer: SceneQaRecipe) -> None:
    one, same, other = (
        build_answerer(replace(tiny_answerer, seed=seed), WORDS, SIZES).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["text.lstm.weight_ih_l0"], other["text.lstm.weight_ih_l0"])


def test_the_recipe_says_how_the_model_is_shown_a_scene(tiny_answerer: SceneQaRecipe) -> None:
    for legacy_color in (False, True):
        model = build_answerer(replace(tiny_answerer, points=77, legacy_color=legacy_color), WORDS, SIZES)
        assert model.input == SceneInput(77, legacy_color)


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
    assert loaded.name == TRAINING.name
    points, features = torch.rand(1, 200, 3), torch.rand(1, 200, 4)
    ours, theirs = (
        m(points, features, m.text.batch(["it"]), m.text.batch(["is it red?"]))[0].logits for m in (model, loaded.model)
    )
    assert torch.equal(ours, theirs)
    assert not loaded.model.training


def test_the_file_of_a_model_holds_its_detector(tiny_answerer: SceneQaRecipe, tmp_path: Path) -> None:
    model = build_answerer(tiny_answerer, WORDS, 2 * SIZES)
    assert model.scene is not None
    save_answerer(tmp_path / MODEL_FILE, model, tiny_answerer, WORDS, TRAINING)
    detector = load_detector(tmp_path, replace(tiny_answerer, dim=32, grounded=False)).state_dict()
    for name, value in model.scene.state_dict().items():
        assert torch.equal(detector[name], value), name
    for change, named in (
        ({"proposals": 9}, "proposals=9"),
        ({"blind": True}, "blind=False"),
        ({"points": 9}, "points=9"),
    ):
        with pytest.raises(InputError, match=f"--detector-run {tmp_path}: expected a .* {named}"):
            load_detector(tmp_path, replace(tiny_answerer, **change))


def test_another_kind_of_model_is_refused_in_words(trained_answerer: Path, trained_run: Path) -> None:
    with pytest.raises(
        InputError, match=r"expected a file of format 'frozen-perception scene answerer 1', got .*forec"
    ):
        load_answerer(trained_run)
    with pytest.raises(
        InputError, match=r"expected a file of format 'frozen-perception forecaster 2', got .*scene ans"
    ):
        load_model(trained_answerer)
