from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.images.picture_input import PictureInput
from perception_datasets.images.open_pictures import open_pictures
from perception_datasets.images.records import Pictures
from perception_tools.image import shifted as module
from perception_tools.image.data import TrainingPictures
from perception_tools.image.recipes import ImageRecipe
from perception_tools.image.shifted import ShiftedPictures
from perception_tools.training.sampler import Key

INPUT = PictureInput(32, 32, 1.0)


@pytest.fixture
def train(pictures: Path) -> Pictures:
    return open_pictures(pictures, "train")


def test_every_picture_is_a_moved_and_perhaps_mirrored_part_of_what_evaluation_shows(train: Pictures) -> None:
    shown, seen = ShiftedPictures(train, INPUT, 3, 100), set()
    whole = INPUT.prepare(train.decode(train[0]))
    bordered = torch.from_numpy(np.pad(whole.numpy(), ((0, 0), (3, 3), (3, 3)), mode="symmetric"))
    parts = {(top, left): bordered[:, top : top + 32, left : left + 32] for top in range(7) for left in range(7)}
    for draw in range(60):
        image = shown.show(0, np.random.default_rng(draw))
        is_same = [
            (place, mirrored)
            for place, part in parts.items()
            for mirrored in (False, True)
            if torch.allclose(image, part.flip(-1) if mirrored else part, atol=1e-6)
        ]
        assert is_same
        seen.update(is_same)
    assert {mirrored for _, mirrored in seen} == {False, True}
    assert len({place for place, _ in seen}) > 20


def test_pictures_are_decoded_once_as_long_as_there_is_room(train: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    original = Pictures.decode
    monkeypatch.setattr(Pictures, "decode", lambda self, record: decoded.append(record.id) or original(self, record))
    for keep, expected in ((100, 2), (1, 3), (0, 4)):
        decoded.clear()
        shown = ShiftedPictures(train, INPUT, 2, keep)
        images = [shown.show(index, np.random.default_rng(7)) for index in (0, 1, 0, 1)]
        assert len(decoded) == expected
        assert torch.equal(images[0], images[2])
    monkeypatch.setattr(module, "MOST_BYTES", 3 * 36 * 36)  # room for one
    decoded.clear()
    shown = ShiftedPictures(train, INPUT, 2, 100)
    for index in (0, 1, 0, 1):
        shown.show(index, np.random.default_rng(7))
    assert len(decoded) == 3


def test_a_pass_is_the_same_wherever_it_is_computed_and_another_one_differs(
    train: Pictures, tiny_image_recipe: ImageRecipe
) -> None:
    recipe = replace(tiny_image_recipe, augmentation=replace(tiny_image_recipe.augmentation, shift=4))
    one, other = (TrainingPictures(train, recipe, keep) for keep in (0, 100))
    assert torch.equal(one[Key(2, 1)].values[0], other[Key(2, 1)].values[0])
    assert not torch.equal(one[Key(2, 1)].values[0], one[Key(2, 2)].values[0])
    assert one[Key(2, 1)].label == train.labels[2]


def test_a_broken_picture_is_replaced_by_the_next_and_named(
    write_pictures: Callable[..., Path], tiny_image_recipe: ImageRecipe, tmp_path: Path
) -> None:
    train = open_pictures(write_pictures(tmp_path / "data", train=2), "train")
    train[0].place.name.write_bytes(b"no picture")
    recipe = replace(tiny_image_recipe, augmentation=replace(tiny_image_recipe.augmentation, shift=4))
    shown = TrainingPictures(train, recipe, 100)[Key(0, 0)]
    assert [name for name, _ in shown.unread] == [train[0].id]
    assert shown.label == train.labels[1]
