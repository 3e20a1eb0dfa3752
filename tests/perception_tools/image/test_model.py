"""A classifier from its recipe; from its file it comes back and says the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.errors import InputError
from perception.images.image import Picture
from perception.images.picture_input import PictureInput
from perception_tools.image.model import ImageTraining, build_classifier, load_classifier, save_classifier
from perception_tools.image.recipes import RECIPES, ImageRecipe
from perception_tools.image.task import TASK
from perception_tools.model_files import write_model
from perception_tools.model_metadata import MODEL_FILE

TRAINING = ImageTraining("image/vit-micro-llama", "colours", pictures=24, steps=6)
CLASSES = ("n01484850", "n01440764", "n01443537")


def test_a_model_is_that_of_its_seed(tiny_image_recipe: ImageRecipe) -> None:
    state = torch.get_rng_state()
    one, same, other = (build_classifier(replace(tiny_image_recipe, seed=s), 3).state_dict() for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["encoder.pos_embed"], other["encoder.pos_embed"])


@pytest.mark.parametrize(("size", "dim", "heads"), [("tiny", 192, 3), ("small", 384, 6), ("base", 768, 12)])
def test_sizes_are_deits(size: str, dim: int, heads: int) -> None:
    from perception.encoders.vit import VIT_SIZES

    assert (VIT_SIZES[size].dim, VIT_SIZES[size].heads, VIT_SIZES[size].depth) == (dim, heads, 12)


def test_the_recipe_says_how_the_model_is_shown_a_picture(tiny_image_recipe: ImageRecipe) -> None:
    model = build_classifier(replace(tiny_image_recipe, picture=48, crop_pct=0.9, position="middle"), 3)
    assert model.input == PictureInput(48, 48, 0.9)
    assert (model.position, model.encoder.grid) == ("middle", (3, 3))


@pytest.mark.parametrize("change", [{}, {"position": "head", "pooling": "mean", "picture": 64, "seed": 4}])
def test_a_model_comes_back_from_its_file(tiny_image_recipe: ImageRecipe, tmp_path: Path, change: dict) -> None:
    recipe = replace(tiny_image_recipe, **change)
    model = build_classifier(recipe, 3).eval()
    save_classifier(tmp_path / MODEL_FILE, model, recipe, CLASSES, TRAINING)
    loaded = load_classifier(tmp_path)
    assert (loaded.recipe, loaded.training, loaded.classes, loaded.name) == (recipe, TRAINING, CLASSES, TRAINING.name)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    ours, theirs = (m.classify([Picture("p", pixels)]) for m in (model, loaded.model))
    assert np.array_equal(ours, theirs)
    assert not loaded.model.training


@pytest.mark.parametrize(
    ("names", "message"),
    [("abc", "expected classes that are texts"), ([1, 2, 3], "that are texts"), (["a", "b"], "head")],
)
def test_damaged_classes_are_refused(
    tiny_image_recipe: ImageRecipe, tmp_path: Path, names: object, message: str
) -> None:
    model = build_classifier(tiny_image_recipe, 3)
    metadata = {
        "recipe": tiny_image_recipe.to_json(),
        "training": {"name": "image/vit-micro", "source": "x", "pictures": 1, "steps": 1},
        "classes": {"names": names},
    }
    write_model(tmp_path / MODEL_FILE, model, TASK.format, metadata)
    with pytest.raises(InputError, match=message):
        load_classifier(tmp_path)


def test_another_kind_of_model_is_refused_in_words(trained_run: Path) -> None:
    with pytest.raises(InputError, match=r"expected a file of format 'frozen-perception image classifier 1', got"):
        load_classifier(trained_run)


def test_every_recipe_has_a_size_that_there_is() -> None:
    from perception.encoders.vit import VIT_SIZES

    assert {recipe.size for recipe in RECIPES.values()} <= VIT_SIZES.keys()
