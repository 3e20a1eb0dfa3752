"""What a classifier says of pictures."""

from __future__ import annotations

from torch.utils.data import Dataset

from perception.images.picture_input import PictureInput
from perception.models.image_classifier import ImageClassifier
from perception_datasets.images.records import PictureSource
from perception_tools.classification.predictions import Predictions, Prepared, predict_prepared, prepare


class PreparedPictures(Dataset[Prepared]):
    """Pictures of a set as a model is shown them in service.

    Args:
        source: The pictures.
        shown: How the model is shown them.
    """

    def __init__(self, source: PictureSource, shown: PictureInput) -> None:
        self._source, self._input = source, shown

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Prepared:
        """A picture, or why it cannot be shown."""
        record = self._source[index]
        return prepare(record.id, record.label, lambda: self._input.prepare(self._source.decode(record)))


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
    device = next(model.parameters()).device
    return predict_prepared(
        PreparedPictures(source, shown or model.input),
        lambda images: model(model.collate(images).to(device)),
        batch=batch,
        workers=workers,
        title=title,
        noun="picture",
    )
