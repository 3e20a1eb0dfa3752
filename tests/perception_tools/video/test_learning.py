from __future__ import annotations

import torch

from perception_tools.classification.learning import LabelledBatch
from perception_tools.video.learning import ActionTask
from perception_tools.video.model import build_recognizer
from perception_tools.video.recipes import ActionRecipe


def test_clips_that_cannot_be_read_are_called_clips(tiny_recipe: ActionRecipe) -> None:
    task = ActionTask(tiny_recipe, build_recognizer(tiny_recipe, 2), 2)
    task.validation_step(
        LabelledBatch(torch.zeros(0, 3, 1, 1, 1), torch.zeros(0, dtype=torch.int64), (("a", "a: gone"),)), 0
    )
    assert task.unread_in_words() == "1 validation clips could not be read, they are not counted: a: gone"


def test_layers_learn_at_rates_of_their_own(tiny_recipe: ActionRecipe) -> None:
    from dataclasses import replace

    from perception_tools.training.optim import parameter_groups
    from perception_tools.training.recipes import OptimizerRecipe

    recipe = replace(tiny_recipe, optimizer=OptimizerRecipe(layer_decay=0.5))
    task = ActionTask(recipe, build_recognizer(recipe, 2), 2)
    groups = parameter_groups(task.model, task.parameter_groups(), recipe)
    assert {group["lr_scale"] for group in groups} == {1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125}
    assert {group["lr_scale"] for group in groups if group["name"].startswith("block")} == {1.0}
