"""What a classifier's exported file is, and clouds that tell whether it is right."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch
from torch import Tensor

from perception.heads.classification import ClsMaxHead
from perception.models.point_classifier import PointClassifier
from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import GraphSource
from perception_tools.export.served_classifier import ServedClassifier
from perception_tools.points.bench.naive import NaivePointBert
from perception_tools.points.model import PointTraining, TrainedClassifier, build_classifier
from perception_tools.points.recipes import RECIPES

MANY = 9
RECIPE = "points/micro-llama"
CLASSES = 40


def untrained(block: str, recipe_name: str | None = None) -> TrainedClassifier:
    """The model of a recipe with a block, as it is before training."""
    name = recipe_name or RECIPE
    recipe = RECIPES[name].with_source(block)
    classes = tuple(f"class{number}" for number in range(CLASSES))
    return TrainedClassifier(build_classifier(recipe, CLASSES).eval(), recipe, classes, PointTraining(name, "", 0, 0))


def exportable(trained: TrainedClassifier) -> Exportable:
    """A trained classifier, folded, with clouds of many points and one, on a lattice, and of one place.

    The graph takes the points as they are: groups and their neighbours are found in it.
    """
    model, usual = trained.model.folded(), trained.recipe.points

    def batch(count: int, points: int = usual) -> Tensor:
        return torch.randn(count, points, 3, generator=torch.Generator().manual_seed(count))

    return Exportable(
        source=GraphSource(
            model, lambda model, points: model(points), input_name="points", input_axes=("clouds", "points", "3")
        ),
        cases=lambda: {
            "two clouds": batch(2),
            "one cloud": batch(1),
            f"{MANY} clouds": batch(MANY),
            "three clouds of twice as many points": batch(3, 2 * usual),
            "two clouds of one point": batch(2, 1),
            "points on a lattice, many equally far": batch(2).mul(2).round().div(2),
            "all points at one place": batch(1, 1).expand(2, usual, 3).contiguous(),
        },
        timed=("one cloud", f"{MANY} clouds"),
        metadata={
            "recipe": trained.recipe.to_json(),
            "training": asdict(trained.training),
            "classes": list(trained.classes),
            "cloud": asdict(trained.model.input),
            "inputs": {
                "points": "x, y, z of the points of one object each, sampled and scaled as `cloud` says: farthest "
                "points first; with scaling `none` in metres about the origin"
            },
            "outputs": {"logits": "one for each of `classes`; softmax gives probabilities"},
        },
        serve=lambda runtime: ServedClassifier(runtime, trained.model, "points"),
        peers={"usual PyTorch, no block": lambda: _usual(trained)},
    )


def _usual(trained: TrainedClassifier) -> PointClassifier:
    """Point-BERT as it is usually written in PyTorch, without a block and with random weights."""
    of = trained.model.encoder
    encoder, dim = NaivePointBert(of.size, of.groups, of.group_size), of.size.transformer.dim
    recipe = replace(trained.recipe, block=replace(trained.recipe.block, kind="none"))
    plain = build_classifier(recipe, len(trained.classes))
    head = ClsMaxHead(dim, len(trained.classes), recipe.head_width, recipe.dropout)
    return PointClassifier(encoder, plain.block, head, trained.model.input).eval()
