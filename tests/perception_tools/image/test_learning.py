"""Steps of a classifier of pictures."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch
import torch.nn.functional as F

from perception_tools.classification.learning import LabelledBatch
from perception_tools.image.learning import ImageTask
from perception_tools.image.model import build_classifier
from perception_tools.image.recipes import ImageRecipe
from perception_tools.training.mixup import BatchMixup


def test_a_step_is_the_cross_entropy_of_mixed_pictures_with_soft_targets(
    tiny_image_recipe: ImageRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(tiny_image_recipe, drop_path=0.0)
    task = ImageTask(recipe, build_classifier(recipe, 7), 7)
    monkeypatch.setattr(task, "log_step", Mock())
    pictures = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    given = LabelledBatch(pictures, torch.arange(4), (("a", "a.png: broken"),))
    images, targets = BatchMixup(recipe.mixup, 7)(given.values.clone(), given.labels, task.step_seed(3))
    expected = -(targets * F.log_softmax(task.model(images), -1)).sum(-1).mean()
    assert targets.max() < 1
    torch.testing.assert_close(task.training_step(given, 3), expected)
    assert task.unread_in_words().startswith("1 training pictures could not be read")
