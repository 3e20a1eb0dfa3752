"""Pictures in the report: the mistakes that a model is surest of, its surest hits, and the classes it confuses."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from perception_datasets.errors import RecordError
from perception_datasets.images.records import PictureSource
from perception_tools.classification.scores import ClassScores
from perception_tools.report.page import Cell, Table

SHOWN = 12
"""Number of pictures in a row of the report, and of pairs of classes in its table."""
THUMBNAIL = 96
"""Longest side in pixels; smaller pictures are shown as they are."""


@dataclass(frozen=True)
class Example:
    """A picture and what a model said of it.

    Attributes:
        id: Name of the picture.
        image: The picture as a data URI.
        label: Its class.
        predicted: The class that the model takes it for.
        confidence: Probability of that.
    """

    id: str
    image: str
    label: str
    predicted: str
    confidence: float


def find_examples(scores: ClassScores, source: PictureSource) -> tuple[list[Example], list[Example]]:
    """The mistakes and the hits that the model is surest of, at most `SHOWN` of each.

    Args:
        scores: Of the model, on the pictures.
        source: The pictures.
    """
    hits, order = scores.hits[:, 0], np.argsort(-scores.confidence, kind="stable")
    wrong, right = (_examples(scores, source, order[hits[order] == is_hit][:SHOWN]) for is_hit in (False, True))
    return wrong, right


def _examples(scores: ClassScores, source: PictureSource, chosen: np.ndarray) -> list[Example]:
    wanted = {scores.ids[index]: int(index) for index in chosen}
    found = {}
    for position in range(len(source) if wanted else 0):
        record = source[position]
        if record.id in wanted and (image := _thumbnail(source, position)):
            index = wanted[record.id]
            label, predicted = (scores.classes[of[index]] for of in (scores.labels, scores.predicted))
            found[record.id] = Example(record.id, image, label, predicted, float(scores.confidence[index]))
    return [found[name] for name in wanted if name in found]


def _thumbnail(source: PictureSource, position: int) -> str | None:
    """The picture as a data URI; None if it can no longer be read."""
    try:
        image = Image.fromarray(source.decode(source[position]).pixels)
    except RecordError:
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    data = io.BytesIO()
    image.save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


def confusion_table(scores: ClassScores) -> Table:
    """The pairs of classes that are confused most often, as counts and as shares of the pictures of the true class."""
    wrong = ~scores.hits[:, 0]
    pairs = Counter(zip(scores.labels[wrong].tolist(), scores.predicted[wrong].tolist(), strict=True))
    sizes = np.bincount(scores.labels, minlength=len(scores.classes))
    rows = [
        (
            scores.classes[label],
            [Cell(scores.classes[predicted]), Cell(str(count)), Cell(f"{100 * count / sizes[label]:.1f} %")],
        )
        for (label, predicted), count in pairs.most_common(SHOWN)
    ]
    return Table("confused-classes", "", ("class", "taken for", "pictures", "of the class"), rows)


def class_table(scores: ClassScores) -> Table:
    """Accuracy within each class, the lowest first; at most twice `SHOWN` classes."""
    sizes = np.bincount(scores.labels, minlength=len(scores.classes))
    right = np.bincount(scores.labels, weights=scores.hits[:, 0], minlength=len(scores.classes))
    known = np.flatnonzero(sizes)
    order: Sequence[int] = known[np.argsort(right[known] / sizes[known], kind="stable")][: 2 * SHOWN].tolist()
    rows = [(scores.classes[i], [Cell(str(sizes[i])), Cell(f"{100 * right[i] / sizes[i]:.1f} %")]) for i in order]
    caption = "" if len(order) == len(known) else f"The lowest {len(order)} of {len(known)}"
    return Table("classes", caption, ("class", "pictures", "top-1"), rows)
