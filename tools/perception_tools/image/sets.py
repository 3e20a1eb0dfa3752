"""Sets of pictures that a classifier is evaluated on, each by its own rule: ImageNet's, and those that test robustness.

* ImageNet-A and ImageNet-R have 200 of ImageNet's classes: a prediction is the most likely of those (Hendrycks et al.,
  https://arxiv.org/abs/1907.07174, https://arxiv.org/abs/2006.16241).
* ImageNet-Sketch has all classes and no rule of its own (Wang et al., https://arxiv.org/abs/1905.13549).
* ImageNet-C has 15 corruptions at 5 severities; its pictures are cropped already and are not resized (Hendrycks and
  Dietterich, https://arxiv.org/abs/1903.12261).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from perception.errors import InputError, first_of
from perception.files import reading
from perception.images.picture_input import PictureInput
from perception_datasets.images.class_lists import read_class_list
from perception_datasets.images.corrupted import CorruptedPictures
from perception_datasets.images.imagenet_c import SEVERITIES, corruptions, open_imagenet_c
from perception_datasets.images.open_pictures import open_pictures
from perception_datasets.images.records import Pictures, PictureSource

Suite = Literal["imagenet-c", "imagenet-a", "imagenet-r", "imagenet-sketch"]
_SUBSETS = {"imagenet-a": "imagenet_a", "imagenet-r": "imagenet_r"}


@dataclass(frozen=True)
class EvaluationSet:
    """Pictures with labels, and how they are shown and scored.

    Attributes:
        name: Name in metrics.json.
        source: The pictures; labels are numbers of `classes`.
        classes: Names of the classes that a prediction is chosen from.
        is_cropped: Whether the pictures are cropped already, so that they are not resized before the centre is taken.
        corruption: Name of ImageNet-C's corruption; empty for others.
        severity: Severity of the corruption.
        left_out: Number of pictures of the suite that the model has no class for.
    """

    name: str
    source: PictureSource
    classes: tuple[str, ...]
    is_cropped: bool = False
    corruption: str = ""
    severity: int = 0
    left_out: int = 0

    def shown(self, usual: PictureInput) -> PictureInput:
        """How a picture of the set is shown to a model.

        Args:
            usual: How the model is shown others.
        """
        return replace(usual, crop_pct=1.0) if self.is_cropped else usual


def open_split(data: Path, split: str, classes: tuple[str, ...], limit: int | None) -> EvaluationSet:
    """An ordinary split, whose predictions are chosen from all of the model's classes.

    Raises:
        InputError: It cannot be opened, or has pictures of other classes or without labels.
    """
    pictures = open_pictures(data, split, classes=classes, limit=limit)
    unlabelled = int((pictures.labels < 0).sum())
    if unlabelled:
        raise InputError(
            f"{data}: expected labels in split {split!r}, found {unlabelled} pictures without; name another"
        )
    return EvaluationSet(split, pictures, classes)


def open_suite(
    suite: Suite,
    data: Path,
    split: str,
    classes: tuple[str, ...],
    limit: int | None,
    *,
    extra: bool = False,
    side: int | None = None,
) -> Iterator[EvaluationSet]:
    """The sets of a suite; ImageNet-C's are 15 × 5 (with `extra` 19 × 5), one after the other.

    Args:
        suite: Which one.
        data: Its folder. For ImageNet-C, where there are no folders of corruptions, the pictures of `split` are
            corrupted as they are decoded, by `imagecorruptions`.
        split: Split to corrupt; sets with a split level of their own are read from it too.
        classes: Names of the model's classes.
        limit: Maximum number of pictures in each set.
        extra: Whether ImageNet-C's four extra corruptions are among them.
        side: Side of the square that is cut out of a picture before it is corrupted here, as ImageNet-C's pictures were
            (224 of 256 pixels); pictures that are as small as the model's keep their size (None).

    Raises:
        InputError: The set cannot be opened, or has no class that the model has.
    """
    if suite == "imagenet-c":
        return _corrupted_sets(data, split, classes, limit, extra, side)
    pictures = open_pictures(data, split)
    chosen = _subset(suite, pictures, classes)
    known = _labelled_by(pictures, chosen)
    return iter([EvaluationSet(suite, known.limited(limit), chosen, left_out=len(pictures) - len(known))])


def _subset(suite: Suite, pictures: Pictures, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Classes that a prediction is chosen from: the suite's, as far as the model has them."""
    names = read_class_list(_SUBSETS[suite]) if suite in _SUBSETS else classes
    of_model = set(classes)
    chosen = tuple(name for name in names if name in of_model)
    if not set(pictures.classes) & set(chosen):
        raise InputError(
            f"{pictures.path}: expected pictures of {suite}'s classes that the model has (WordNet ids such as "
            f"{names[0]}), found {', '.join(pictures.classes[:3])}; give a set with the model's classes"
        )
    return chosen


def _labelled_by(pictures: Pictures, classes: Sequence[str]) -> Pictures:
    """The pictures of some classes, labelled by their order."""
    number_of = {name: number for number, name in enumerate(classes)}
    new = np.array([number_of.get(name, -1) for name in pictures.classes], dtype=np.int64)
    kept = np.flatnonzero(new[pictures.labels] >= 0)
    chosen = pictures.subset(kept)
    return replace(chosen, classes=tuple(classes), labels=new[pictures.labels[kept]])


def _corrupted_sets(
    data: Path, split: str, classes: tuple[str, ...], limit: int | None, extra: bool, side: int | None
) -> Iterator[EvaluationSet]:
    wanted = [one for one in corruptions() if extra or one.alexnet_error is not None]
    on_disk = any((data / name).is_dir() for one in wanted for name in (one.name, f"{one.group}/{one.name}"))
    clean = None if on_disk else open_split(data, split, classes, limit).source
    for one in wanted:
        for severity in SEVERITIES:
            source: PictureSource
            if clean is None:
                source = open_imagenet_c(data, one.name, severity, classes=classes).limited(limit)
            else:
                source = CorruptedPictures(clean, one.name, severity, size=side)
            is_cropped = clean is None or side is not None
            yield EvaluationSet(f"{one.name}/{severity}", source, classes, is_cropped, one.name, severity)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Names of classes in the order of their labels, from a text file with one a line; empty lines are left out.

    Raises:
        InputError: It cannot be read, or names no class, or one twice.
    """
    with reading(path, "give a text file with a class in each line"):
        names = tuple(name for line in path.read_text(encoding="utf-8-sig").splitlines() if (name := line.strip()))
    if not names:
        raise InputError(f"{path}: expected the name of a class in each line, found none; give another file")
    if len(set(names)) < len(names):
        twice = first_of(sorted(name for name, count in Counter(names).items() if count > 1))
        raise InputError(f"{path}: expected each class once, found more than one {twice}; take the others out")
    return names
