"""Training pictures: what is random is a function of their key, and the changes are timm's."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.transforms_factory import create_transform

from perception.errors import InputError
from perception_datasets.images.cropping import RandomResizedCrop
from perception_datasets.images.open_pictures import open_pictures
from perception_tools.image.data import TrainingPictures
from perception_tools.image.recipes import RECIPES, AugmentationRecipe, ImageRecipe
from perception_tools.training.sampler import Key

STRONG = AugmentationRecipe(erasing=1.0)


@pytest.fixture
def recipe(tiny_image_recipe: ImageRecipe) -> ImageRecipe:
    """With all changes of the paper, so strong that two draws are never alike."""
    return replace(tiny_image_recipe, augmentation=STRONG)


def test_a_picture_is_a_function_of_its_key_and_the_seed(pictures: Path, recipe: ImageRecipe) -> None:
    train, key = open_pictures(pictures, "train"), Key(5, 2, 1)
    shown = TrainingPictures(train, recipe)[key]
    assert shown.label == train[5].label
    assert shown.values[0].shape == (3, 32, 32)
    torch.manual_seed(99)
    again = TrainingPictures(train, recipe)
    again[Key(3, 0)]  # what was asked before does not matter
    assert torch.equal(again[key].values[0], shown.values[0])
    for other in (Key(5, 2, 0), Key(5, 2, 2), Key(5, 3, 1), Key(6, 2, 1)):
        assert not torch.equal(again[other].values[0], shown.values[0]), other
    assert not torch.equal(TrainingPictures(train, replace(recipe, seed=1))[key].values[0], shown.values[0])


def test_the_global_generators_are_left_as_they_were(pictures: Path, recipe: ImageRecipe) -> None:
    shown = TrainingPictures(open_pictures(pictures, "train"), recipe)
    before = np.random.get_state(legacy=False)["state"]["key"].tolist(), torch.get_rng_state()
    shown[Key(0, 0)]  # the checks of types in tests draw from Python's own generator
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("picture", [224, 32])
def test_the_changes_of_a_crop_are_those_of_timms_transform(picture: int, pictures: Path) -> None:
    """Crop and mirror are ours, which test_cropping compares with torchvision's; all behind them is timm's."""
    recipe = replace(RECIPES["image/vit-s"], picture=picture)
    changes = recipe.augmentation
    made: Any = create_transform(
        recipe.picture,
        is_training=True,
        color_jitter=changes.color_jitter,
        auto_augment=changes.auto_augment,
        interpolation="bicubic",
        re_prob=changes.erasing,
        re_mode="pixel",
        re_count=1,
        separate=True,
    )
    _, expected_change, expected_finish = made
    train, key = open_pictures(pictures, "train"), Key(4, 1, 2)
    rng = np.random.default_rng((recipe.seed, key.data_pass, key.index, key.repetition))
    crop = train.decode_crop(train[4], RandomResizedCrop(recipe.picture, scale=(changes.scale, 1.0)), rng)
    seed = int(rng.integers(2**32))
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    expected = expected_finish(expected_change(Image.fromarray(crop.transpose(1, 2, 0))))
    assert torch.equal(TrainingPictures(train, recipe)[key].values[0], expected)


def test_without_changes_a_picture_is_its_normalised_crop(pictures: Path, recipe: ImageRecipe) -> None:
    none = AugmentationRecipe(auto_augment="", color_jitter=0.0, erasing=0.0, exact=True)
    train = open_pictures(pictures, "train")
    image = TrainingPictures(train, replace(recipe, augmentation=none))[Key(0, 0)].values[0]
    rng = np.random.default_rng((recipe.seed, 0, 0, 0))
    crop = train.decode_crop(train[0], RandomResizedCrop(32, scale=(0.08, 1.0), reduce=False), rng)
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(image, (torch.from_numpy(crop) / 255 - mean) / std)


@pytest.mark.parametrize("words", ["nonsense", "rand-q9", "augmix-x3"])
def test_an_augmentation_that_timm_does_not_know_is_refused(words: str, pictures: Path, recipe: ImageRecipe) -> None:
    bad = replace(recipe, augmentation=AugmentationRecipe(auto_augment=words))
    with pytest.raises(InputError, match=f"auto_augment: expected a string that timm knows, got '{words}'"):
        TrainingPictures(open_pictures(pictures, "train"), bad)


def test_a_broken_picture_is_replaced_by_the_next_and_named(
    write_pictures: Callable[..., Path], recipe: ImageRecipe, tmp_path: Path
) -> None:
    data = write_pictures(tmp_path / "data", train=2)
    train = open_pictures(data, "train")
    last = len(train) - 1
    train[last].place.name.write_bytes(b"no picture")
    shown = TrainingPictures(train, recipe)[Key(last, 0)]
    assert shown.label == train[0].label, "after the last comes the first"
    ((name, fault),) = shown.unread
    assert name == train[last].id
    assert str(train[last].place.name) in fault


def test_pictures_that_are_all_broken_end_training(
    write_pictures: Callable[..., Path], recipe: ImageRecipe, tmp_path: Path
) -> None:
    train = open_pictures(write_pictures(tmp_path / "data", train=2), "train")
    for record in train:
        record.place.name.write_bytes(b"")
    with pytest.raises(InputError, match="expected some that can be read, found 6 in a row that cannot"):
        TrainingPictures(train, recipe)[Key(0, 0)]
