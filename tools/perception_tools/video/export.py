"""What a recogniser's exported file is, and clips that tell whether it is right."""

from __future__ import annotations

from dataclasses import asdict

import torch
from torch import Tensor

from perception.errors import InputError
from perception.models.action_recognizer import ActionRecognizer
from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import GraphSource
from perception_tools.export.served_classifier import ServedClassifier
from perception_tools.video.bench.video import make_transformers
from perception_tools.video.model import ActionTraining, TrainedRecognizer, build_recognizer
from perception_tools.video.recipes import RECIPES

MANY = 5
RECIPE = "video/micro-llama"
CLASSES = 174


def untrained(block: str, recipe_name: str | None = None) -> TrainedRecognizer:
    """The model of a recipe with a block, as it is before training."""
    name = recipe_name or RECIPE
    recipe = RECIPES[name].with_source(block)
    classes = tuple(f"class{number}" for number in range(CLASSES))
    training = ActionTraining(name, "", labels="", where="", clips=0, steps=0)
    return TrainedRecognizer(build_recognizer(recipe, CLASSES).eval(), recipe, classes, training)


def exportable(trained: TrainedRecognizer) -> Exportable:
    """A trained recogniser, folded, with random clips: one, two, several, and clips of one colour.

    Raises:
        InputError: The run is one of pre-training, which recognises nothing.
    """
    if not isinstance(trained.model, ActionRecognizer):
        raise InputError(
            f"{trained.name}: expected a run that learned actions, got one of pre-training; train one from it with "
            "--encoder-run"
        )
    model, shape = trained.model.folded(), (3, *trained.model.encoder.clip)

    def batch(count: int) -> Tensor:
        return torch.randn(count, *shape, generator=torch.Generator().manual_seed(count))

    return Exportable(
        source=GraphSource(
            model, lambda model, clips: model(clips), input_name="clips", input_axes=("clips", *map(str, shape))
        ),
        cases=lambda: {
            "two clips": batch(2),
            "one clip": batch(1),
            f"{MANY} clips": batch(MANY),
            "a black and a white clip": torch.stack([torch.full(shape, value) for value in (-2.1, 2.6)]),
        },
        timed=("one clip", f"{MANY} clips"),
        metadata={
            "recipe": trained.recipe.to_json(),
            "training": asdict(trained.training),
            "classes": list(trained.classes),
            "clip": asdict(trained.model.input),
            "inputs": {
                "clips": "RGB images in the order of time, resized and cropped as `clip` says, then normalised by its "
                "mean and std"
            },
            "outputs": {"logits": "one for each of `classes`; softmax gives probabilities"},
        },
        serve=lambda runtime: ServedClassifier(runtime, trained.recognizer, "clips"),
        peers={"transformers, no block": lambda: make_transformers(model.encoder, len(trained.classes)).eval()},
    )
