"""What a classifier's exported file is, and pictures that tell whether it is right."""

from __future__ import annotations

from dataclasses import asdict

import torch
from torch import Tensor

from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import GraphSource
from perception_tools.export.served_classifier import ServedClassifier
from perception_tools.image.bench.vit import timm_of
from perception_tools.image.model import ImageTraining, TrainedClassifier, build_classifier
from perception_tools.image.recipes import RECIPES

MANY = 33
RECIPE = "image/vit-micro-llama"
CLASSES = 1000


def untrained(block: str, recipe_name: str | None = None) -> TrainedClassifier:
    """The model of a recipe with a block, as it is before training."""
    name = recipe_name or RECIPE
    recipe = RECIPES[name].with_source(block)
    classes = tuple(f"class{number}" for number in range(CLASSES))
    return TrainedClassifier(build_classifier(recipe, CLASSES).eval(), recipe, classes, ImageTraining(name, "", 0, 0))


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
        serve=lambda runtime: ServedClassifier(runtime, trained.model, "images"),
        peers={
            "timm, no block": lambda: timm_of(model.encoder, (shown.height, shown.width), len(trained.classes)).eval()
        },
    )
