"""The loss of each picture by itself, for whoever looks at gradients."""

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
from perception.models.image_classifier import ImageClassifier
from perception_datasets.errors import Failures, RecordError
from perception_tools.analysis.gradients import RecordLosses
from perception_tools.image.model import TrainedClassifier, build_classifier
from perception_tools.image.sets import open_split


def record_losses(trained: TrainedClassifier, data: Path, split: str, limit: int | None) -> RecordLosses:
    """Cross-entropy of the right class, in an order that mixes the classes, as training does.

    Raises:
        InputError: The pictures cannot be opened, or have other classes.
    """
    of, failures = open_split(data, split, trained.classes, limit), Failures()

    def losses(model: ImageClassifier) -> Iterator[Float[Tensor, ""]]:
        device = next(model.parameters()).device
        for index in np.random.default_rng(0).permutation(len(of.source)).tolist():
            record = of.source[index]
            try:
                images = model.collate([model.prepare(of.source.decode(record))]).to(device)
            except InputError as error:  # of the reader, or of a picture that is too long and narrow
                failures.add(record.id, RecordError(str(error)))
                continue
            yield F.cross_entropy(model(images), torch.tensor([record.label], device=device))

    def initial(seed: int) -> ImageClassifier:
        return build_classifier(replace(trained.recipe, seed=seed), len(trained.classes))

    return RecordLosses("pictures", losses, initial, failures)
