"""Model files of pictures with texts: whole, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from perception.errors import InputError
from perception.texts.tokenizer import WordTokenizer
from perception_tools.image_text.model import ImageTextTraining, build_image_text, load_image_text, save_image_text
from perception_tools.image_text.recipes import ImageTextRecipe


def test_a_model_is_the_same_from_its_file(tiny_recipe: Callable[..., ImageTextRecipe], tmp_path: Path) -> None:
    recipe, path = tiny_recipe(streams="both"), tmp_path / "model.safetensors"
    model = build_image_text(recipe, WordTokenizer(["red", "it"]), 2).eval()
    training = ImageTextTraining("image-text/vqa-micro-llama", "made", 3, 4)
    save_image_text(path, model, recipe, ("yes", ""), training)
    loaded = load_image_text(path)
    assert (loaded.name, loaded.recipe, loaded.answers, loaded.training) == (
        "image-text/vqa-micro-llama", recipe, ("yes", ""), training
    )  # fmt: skip
    images, texts = torch.randn(2, 3, 16, 16), loaded.model.text.batch(["is it red?", "it"])
    assert loaded.model(images, texts).equal(model(images, texts))
    assert not loaded.model.training


def test_the_seed_decides_the_weights(tiny_recipe: Callable[..., ImageTextRecipe]) -> None:
    words = WordTokenizer(["red"])
    first, again, other = (build_image_text(tiny_recipe(seed=seed), words, 2) for seed in (0, 0, 1))
    weights = [of.get_parameter("fusion.text_layers.0.output.dense.weight") for of in (first, again, other)]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("answers", {"answers": []}, "expected answers where the goal is vqa, found 0"),
        ("answers", {"answers": [1]}, "expected answers that are texts"),
        ("tokenizer", {"kind": "runes"}, "expected words or a definition"),
        ("training", {"name": 1, "source": "", "texts": 1, "steps": 1}, "name to be str"),
    ],
)
def test_a_changed_file_is_refused(trained_answers: Path, tmp_path: Path, key: str, change: dict, message: str) -> None:
    source = trained_answers / "model.safetensors"
    with safe_open(source, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(source), tmp_path / "changed.safetensors", metadata | {key: json.dumps(change)})
    with pytest.raises(InputError, match=message):
        load_image_text(tmp_path / "changed.safetensors")
