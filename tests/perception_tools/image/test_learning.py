"""Steps of a classifier: mixed pictures and soft targets, and scores of validation."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from perception.errors import InputError
from perception_tools.image.learning import ImageTask, PictureBatch, unread_in_words
from perception_tools.image.model import build_classifier
from perception_tools.image.recipes import ImageRecipe
from perception_tools.training.mixup import BatchMixup


@pytest.fixture
def task(tiny_image_recipe: ImageRecipe, monkeypatch: pytest.MonkeyPatch) -> ImageTask:
    recipe = replace(tiny_image_recipe, drop_path=0.0)
    task = ImageTask(recipe, build_classifier(recipe, 7), 7)
    monkeypatch.setattr(task, "log_step", Mock())
    monkeypatch.setattr(task, "log", Mock())
    return task


def batch(count: int, unread: tuple[tuple[str, str], ...] = ()) -> PictureBatch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, 32, 32, generator=generator)
    return PictureBatch(images, torch.arange(count) % 7, unread)


def test_a_step_is_the_cross_entropy_of_mixed_pictures_with_soft_targets(task: ImageTask) -> None:
    given = batch(4, (("a", "a.png: broken"),))
    images, targets = BatchMixup(task.recipe.mixup, 7)(given.images.clone(), given.labels, task.step_seed(3))
    expected = -(targets * F.log_softmax(task.model(images), -1)).sum(-1).mean()
    assert targets.max() < 1
    torch.testing.assert_close(task.training_step(given, 3), expected)
    assert task.unread == {"a": "a.png: broken"}


def test_validation_counts_hits_over_batches(task: ImageTask, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.eye(7)[[0, 1, 2, 3, 6, 5]] - 0.1 * torch.arange(7)  # the fifth is wrong; its label is the next best
    labels = torch.tensor([0, 1, 2, 3, 0, 6])  # the sixth is wrong, and its label the last of seven
    parts = iter([logits[:4], logits[4:]])
    monkeypatch.setattr(task.model, "forward", lambda _: next(parts))
    task.validation_step(PictureBatch(torch.zeros(4, 3, 32, 32), labels[:4]), 0)
    task.validation_step(PictureBatch(torch.zeros(2, 3, 32, 32), labels[4:]), 1)
    assert float(task.top1.compute()) == pytest.approx(4 / 6)
    assert float(task.top5.compute()) == pytest.approx(5 / 6)


def test_top5_of_fewer_classes_is_right_for_all(tiny_image_recipe: ImageRecipe) -> None:
    task = ImageTask(tiny_image_recipe, build_classifier(tiny_image_recipe, 3), 3)
    task.top5.update(torch.randn(8, 3), torch.arange(8) % 3)
    assert float(task.top5.compute()) == 1


def test_a_validation_batch_without_a_picture_is_passed_over(task: ImageTask) -> None:
    task.validation_step(PictureBatch(torch.zeros(0, 3, 1, 1), torch.zeros(0, dtype=torch.int64), (("a", "bad"),)), 0)
    assert task.unread_in_validation == {"a": "bad"}
    with pytest.raises(InputError, match=r"validation: expected pictures that can be read, found 1 that cannot.* bad"):
        task.on_validation_epoch_end()
    task.validation_step(batch(2), 1)
    task.on_validation_epoch_end()


@pytest.mark.parametrize(
    ("training", "validation", "expected"),
    [
        (0, 0, ""),
        (1, 0, "1 training pictures could not be read, others took their places: fault 0"),
        (0, 2, "2 validation pictures could not be read, they are not counted: fault 0; fault 1"),
        (
            5,
            0,
            "5 training pictures could not be read, others took their places: fault 0; fault 1; fault 2; and 2 more",
        ),
    ],
)
def test_unread_pictures_are_counted_and_the_first_named(training: int, validation: int, expected: str) -> None:
    faults = [{str(i): f"fault {i}" for i in range(count)} for count in (training, validation)]
    assert unread_in_words(*faults) == expected


def test_a_batch_goes_to_a_device_as_a_whole() -> None:
    moved = batch(2, (("a", "bad"),)).to("cpu")
    assert isinstance(moved.images, Tensor)
    assert moved.unread == (("a", "bad"),)
