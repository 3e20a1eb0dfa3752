"""The loss of each clip by itself, for whoever looks at gradients."""

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
from perception.models.action_recognizer import ActionRecognizer
from perception.models.masked_autoencoder import MaskedAutoencoder
from perception_datasets.errors import Failures, RecordError
from perception_datasets.video.open_videos import open_videos
from perception_tools.analysis.gradients import RecordLosses
from perception_tools.classification.records import labelled
from perception_tools.video.data import ClipReader, ValidationClips
from perception_tools.video.model import TrainedRecognizer, build_recognizer


def record_losses(trained: TrainedRecognizer, data: Path, split: str, limit: int | None) -> RecordLosses:
    """Cross-entropy of the right action, in an order that mixes the classes, as training does.

    Raises:
        InputError: The videos cannot be opened, have no labels or other classes, or the model is one of pre-training.
    """
    if isinstance(trained.model, MaskedAutoencoder):
        raise InputError(f"{trained.name}: expected a model that recognises actions, got one of pre-training")
    of, recipe, failures = trained.training, trained.recipe, Failures()
    videos = open_videos(data, split, classes=trained.classes, labels=of.labels, where=of.where, limit=limit)
    reader = ClipReader(labelled(videos, split, "video"), recipe.shorter_side)

    def losses(model: ActionRecognizer) -> Iterator[Float[Tensor, ""]]:
        device, shown = next(model.parameters()).device, ValidationClips(reader, model.input, recipe.order)
        for index in np.random.default_rng(0).permutation(len(videos)).tolist():
            clip = shown[index]
            if clip.value is None:
                failures.add(clip.id, RecordError(clip.fault))
                continue
            label = torch.tensor([clip.label], device=device)
            yield F.cross_entropy(model(model.collate([clip.value]).to(device)), label)

    def initial(seed: int) -> ActionRecognizer:
        return build_recognizer(replace(recipe, seed=seed), len(trained.classes))

    return RecordLosses("clips", losses, initial, failures)
