"""The loss of each cloud by itself, for whoever looks at gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from perception.errors import InputError
from perception.models.point_classifier import PointClassifier
from perception_datasets.clouds.open_clouds import open_clouds
from perception_datasets.errors import Failures, RecordError
from perception_tools.analysis.gradients import RecordLosses
from perception_tools.points.model import TrainedClassifier, build_classifier


def record_losses(trained: TrainedClassifier, data: Path, split: str, limit: int | None) -> RecordLosses:
    """Cross-entropy of the right class, in an order that mixes the classes, as training does.

    Raises:
        InputError: The clouds cannot be opened, or have other classes.
    """
    clouds = open_clouds(data, split, classes=trained.classes, variant=trained.recipe.variant, limit=limit)
    failures = Failures()

    def losses(model: PointClassifier) -> Iterator[Float[Tensor, ""]]:
        device = next(model.parameters()).device
        for index in np.random.default_rng(0).permutation(len(clouds)).tolist():
            record = clouds[index]
            try:
                points = model.collate([model.prepare(clouds.decode(record))]).to(device)
            except InputError as error:  # of the reader, or of a cloud without a point
                failures.add(record.id, RecordError(str(error)))
                continue
            yield F.cross_entropy(model(points), torch.tensor([record.label], device=device))

    def initial(seed: int) -> PointClassifier:
        return build_classifier(replace(trained.recipe, seed=seed), len(trained.classes))

    return RecordLosses("clouds", losses, initial, failures)
