"""Steps of any classifier: soft targets, and scores of validation."""

from __future__ import annotations

from typing import ClassVar
from unittest.mock import Mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perception.errors import InputError
from perception_tools.classification.learning import ClassificationTask, LabelledBatch
from perception_tools.training.recipes import LearningRecipe, MixupRecipe


class Clouds(ClassificationTask[LearningRecipe, nn.Linear]):
    """Classifies vectors."""

    noun: ClassVar[str] = "cloud"


def make(classes: int = 7) -> Clouds:
    torch.manual_seed(0)
    smoothed = MixupRecipe(mixup_alpha=0.0, cutmix_alpha=0.0, label_smoothing=0.1)
    return Clouds(LearningRecipe(), nn.Linear(5, classes), classes, smoothed)


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Clouds:
    task = make()
    monkeypatch.setattr(task, "log_step", Mock())
    monkeypatch.setattr(task, "log", Mock())
    return task


def batch(count: int, unread: tuple[tuple[str, str], ...] = ()) -> LabelledBatch:
    return LabelledBatch(torch.randn(count, 5), torch.arange(count) % 7, unread)


def test_a_step_is_the_cross_entropy_with_smoothed_targets_where_nothing_is_mixed(task: Clouds) -> None:
    given = batch(3, (("a", "a.off: broken"),))
    expected = F.cross_entropy(task.model(given.values), given.labels, label_smoothing=0.1)
    torch.testing.assert_close(task.training_step(given, 0), expected)
    assert task.unread == {"a": "a.off: broken"}


def test_validation_counts_hits_over_batches(task: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.eye(7)[[0, 1, 2, 3, 6, 5]] - 0.1 * torch.arange(7)  # the fifth is wrong; its label is the next best
    labels = torch.tensor([0, 1, 2, 3, 0, 6])  # the sixth is wrong, and its label the last of seven
    parts = iter([logits[:4], logits[4:]])
    monkeypatch.setattr(task.model, "forward", lambda _: next(parts))
    task.validation_step(LabelledBatch(torch.zeros(4, 5), labels[:4]), 0)
    task.validation_step(LabelledBatch(torch.zeros(2, 5), labels[4:]), 1)
    assert float(task.top1.compute()) == pytest.approx(4 / 6)
    assert float(task.top5.compute()) == pytest.approx(5 / 6)


def test_top5_of_fewer_classes_is_right_for_all() -> None:
    task = make(3)
    task.top5.update(torch.randn(8, 3), torch.arange(8) % 3)
    assert float(task.top5.compute()) == 1


def test_a_validation_batch_without_a_record_is_passed_over(task: Clouds) -> None:
    task.validation_step(LabelledBatch(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64), (("a", "bad"),)), 0)
    assert task.unread_in_validation == {"a": "bad"}
    with pytest.raises(InputError, match=r"validation: expected clouds that can be read, found 1 that cannot.* bad"):
        task.on_validation_epoch_end()
    task.validation_step(batch(2), 1)
    task.on_validation_epoch_end()
    assert task.unread_in_words() == "1 validation clouds could not be read, they are not counted: bad"


def test_a_batch_goes_to_a_device_as_a_whole() -> None:
    moved = batch(2, (("a", "bad"),)).to("cpu")
    assert isinstance(moved.values, Tensor)
    assert moved.unread == (("a", "bad"),)
