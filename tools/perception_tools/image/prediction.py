"""What a classifier says of pictures: probabilities of its classes, and which pictures could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from perception.errors import InputError
from perception.images.picture_input import PictureInput
from perception.models.image_classifier import ImageClassifier
from perception_datasets.errors import Failures, RecordError
from perception_datasets.images.records import PictureSource
from perception_tools.training.loaders import make_loader


@dataclass(frozen=True)
class Predictions:
    """What a classifier says of the pictures that could be read.

    Attributes:
        ids: Name of each picture.
        labels: Label of each picture, in the classes of its set.
        probabilities: Probability of each of the model's classes.
        failures: Pictures that could not be read.
    """

    ids: tuple[str, ...]
    labels: Int64[np.ndarray, " pictures"]
    probabilities: Float32[np.ndarray, "pictures classes"]
    failures: Failures

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class _Read:
    """A picture as the model is shown it, or why there is none."""

    id: str
    label: int
    image: Float32[Tensor, "3 height width"] | None
    fault: str = ""


class _ShownPictures(Dataset[_Read]):
    """Pictures of a set as a model is shown them."""

    def __init__(self, source: PictureSource, shown: PictureInput) -> None:
        self._source, self._input = source, shown

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> _Read:
        record = self._source[index]
        label = -1 if record.label is None else record.label
        try:
            return _Read(record.id, label, self._input.prepare(self._source.decode(record)))
        except InputError as error:  # one bad picture does not end an evaluation
            return _Read(record.id, label, None, str(error))


def predict(
    model: ImageClassifier,
    source: PictureSource,
    *,
    shown: PictureInput | None = None,
    batch: int = 64,
    workers: int = 0,
    title: str = "pictures",
) -> Predictions:
    """Classifies all pictures of a set.

    Args:
        model: In evaluation mode.
        source: The pictures.
        shown: How they are shown to the model; as in its training by default.
        batch: Number of pictures in one call of the model.
        workers: Number of processes that decode.
        title: What the progress bar says.

    Raises:
        InputError: There is no picture that can be read.
    """
    pictures = _ShownPictures(source, shown or model.input)
    loader = make_loader(pictures, collate=list, batch=batch, workers=workers)
    device, failures = next(model.parameters()).device, Failures()
    ids: list[str] = []
    labels: list[int] = []
    chances: list[np.ndarray] = []
    for group in tqdm(loader, desc=title, leave=False):
        for bad in (read for read in group if read.image is None):
            failures.add(bad.id, RecordError(bad.fault))
        known = [read for read in group if read.image is not None]
        if known:
            ids += [read.id for read in known]
            labels += [read.label for read in known]
            chances.append(_probabilities(model, [read.image for read in known if read.image is not None], device))
    if not ids:
        raise InputError(
            f"{title}: expected pictures to classify, got none\n{failures.report(len(source), 'pictures')}"
        )
    return Predictions(tuple(ids), np.array(labels, dtype=np.int64), np.concatenate(chances), failures)


@torch.inference_mode()
def _probabilities(
    model: ImageClassifier, images: Sequence[Float32[Tensor, "3 _ _"]], device: torch.device
) -> Float32[np.ndarray, "pictures classes"]:
    return model(model.collate(images).to(device)).float().softmax(-1).cpu().numpy()
