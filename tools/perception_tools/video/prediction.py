"""What a model says of videos, as the mean over several views of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor
from torch.utils.data import Dataset

from perception.clips.clip_input import ClipInput
from perception.clips.sampling import view_images
from perception.errors import InputError
from perception.models.action_recognizer import ActionRecognizer
from perception_datasets.video.decoding import Choose
from perception_datasets.video.records import VideoRecord, Videos
from perception_tools.classification.predictions import Predictions, Prepared, predict_prepared, prepare
from perception_tools.video.data import ClipReader, ordered
from perception_tools.video.recipes import Order


@dataclass(frozen=True)
class Views:
    """The views of a video whose probabilities are averaged.

    Attributes:
        temporal: Number of views in time, each of other images.
        spatial: Number of squares along the longer side.
        order: Order of the images of a view.
    """

    temporal: int = 2
    spatial: int = 3
    order: Order = "kept"

    def __post_init__(self) -> None:
        for name, number in (("temporal", self.temporal), ("spatial", self.spatial)):
            if number < 1:
                raise InputError(f"--{name}-views {number}: expected at least 1; the paper has 2 × 3")


class _ShownVideos(Dataset[Prepared]):
    """Every view of every video, once, whatever number of processes decode them."""

    def __init__(self, reader: ClipReader, shown: ClipInput, views: Views) -> None:
        self._reader, self._shown, self._views = reader, shown, views

    def __len__(self) -> int:
        return len(self._reader.videos)

    def __getitem__(self, index: int) -> Prepared:
        record = self._reader.videos[index]
        return prepare(record.id, record.label, lambda: self._all_views(record))

    def _all_views(self, record: VideoRecord) -> Float32[Tensor, "views 3 time height width"]:
        made = []
        for number in range(self._views.temporal):
            clip = self._reader.read(record, self._chooser(record.id, number))
            made += self._shown.squares(clip, self._views.spatial)
        return torch.stack(made)

    def _chooser(self, name: str, number: int) -> Choose:
        def choose(length: int) -> Int[np.ndarray, " images"]:
            chosen = view_images(length, self._shown.images, number, self._views.temporal)
            return ordered(chosen, self._views.order, (name, number))

        return choose


def predict(
    model: ActionRecognizer,
    videos: Videos,
    *,
    views: Views | None = None,
    shorter_side: int = 0,
    batch: int = 4,
    workers: int = 0,
    title: str = "videos",
) -> Predictions:
    """Classifies all videos of a split: the mean over views of the probabilities of each.

    Args:
        model: In evaluation mode.
        videos: The videos.
        views: The views of each; the paper's 2 × 3 by default.
        shorter_side: Shorter side in pixels to which images are resized first, as in the model's training.
        batch: Number of videos in one call of the model.
        workers: Number of processes that decode.
        title: What the progress bar says.

    Raises:
        InputError: There is no video that can be read.
    """
    device = next(model.parameters()).device

    def classify(prepared: Sequence[Tensor]) -> Float32[Tensor, "batch classes"]:
        chances = model(torch.cat(list(prepared)).to(device)).float().softmax(-1)
        return chances.unflatten(0, (len(prepared), -1)).mean(1).log()  # whose softmax is the mean itself

    return predict_prepared(
        _ShownVideos(ClipReader(videos, shorter_side), model.input, views or Views()),
        classify,
        batch=batch,
        workers=workers,
        title=title,
        noun="clip",
    )
