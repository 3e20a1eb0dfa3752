"""The record of the task: its recipes and commands by their words."""

from __future__ import annotations

from perception_tools.image_text.task import TASK
from perception_tools.main import all_commands
from perception_tools.tasks import task_of_recipe


def test_recipes_and_commands_are_found_by_their_words() -> None:
    assert task_of_recipe("image-text/retrieval-micro-mlp") is TASK
    assert {"score vqav2", "prepare easy-vqa"} <= all_commands().keys()
    families = {name.removesuffix(end) for name in TASK.recipes for end in ("-llama", "-mlp", "-random")}
    assert {"image-text/vqa", "image-text/retrieval", "image-text/vqa-micro"} <= families
