"""What a classifier's exported file is, and pictures that tell whether it is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from perception.models.image_classifier import ImageClassifier
from perception_nodes.exported.runtimes import Runtime
from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import GraphSource
from perception_tools.image.model import ImageTraining, TrainedClassifier, build_classifier
from perception_tools.image.recipes import RECIPES

MANY = 33
RECIPE = "image/vit-s-llama"
CLASSES = 1000


class ExportedClassifier(torch.nn.Module):
    """A classifier that a runtime computes, as evaluation calls the trained one.

    Args:
        runtime: The graph.
        model: Shows pictures to it.
    """

    def __init__(self, runtime: Runtime, model: ImageClassifier) -> None:
        super().__init__()
        self.runtime, self.input = runtime, model.input
        self.device_of = torch.nn.Parameter(torch.zeros(0))
        self._collate = model.collate

    def forward(self, images: Float32[Tensor, "batch 3 height width"]) -> Float32[Tensor, "batch classes"]:
        """Returns a logit for each class."""
        return torch.from_numpy(self.runtime.run({"images": images.numpy()})["logits"])

    def collate(self, prepared: Sequence[Any]) -> Float32[Tensor, "batch 3 height width"]:
        """Pictures side by side."""
        return self._collate(prepared)


def untrained(block: str) -> TrainedClassifier:
    """ViT-S with a block, as it is before training."""
    recipe = RECIPES[RECIPE]
    recipe = replace(recipe, block=replace(recipe.block, source=block))
    classes = tuple(f"class{number}" for number in range(CLASSES))
    return TrainedClassifier(build_classifier(recipe, CLASSES).eval(), recipe, classes, ImageTraining(RECIPE, "", 0, 0))


def exportable(trained: TrainedClassifier) -> Exportable:
    """A trained classifier, folded, with random pictures: one, two, many, and pictures of one colour."""
    model, shown = trained.model.folded(), trained.model.input

    def batch(count: int) -> Tensor:
        generator = torch.Generator().manual_seed(count)
        return torch.randn(count, 3, shown.height, shown.width, generator=generator)

    return Exportable(
        source=GraphSource(
            model,
            lambda model, images: model(images),
            input_name="images",
            input_axes=("pictures", "3", str(shown.height), str(shown.width)),
        ),
        cases=lambda: {
            "two pictures": batch(2),
            "one picture": batch(1),
            f"{MANY} pictures": batch(MANY),
            "a black and a white picture": torch.stack([torch.full_like(batch(1)[0], value) for value in (-2.1, 2.6)]),
        },
        timed=("one picture", f"{MANY} pictures"),
        metadata={
            "recipe": trained.recipe.to_json(),
            "training": asdict(trained.training),
            "classes": list(trained.classes),
            "picture": asdict(shown),
            "inputs": {"images": "RGB, resized and cropped as `picture` says, then normalised by its mean and std"},
            "outputs": {"logits": "one for each of `classes`; softmax gives probabilities"},
        },
        serve=lambda runtime: ExportedClassifier(runtime, trained.model),
    )
