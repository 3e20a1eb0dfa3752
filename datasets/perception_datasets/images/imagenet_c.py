"""ImageNet-C (https://arxiv.org/abs/1903.12261): the validation set under 15 corruptions, and 4 more, at 5 severities.

Its pictures are cropped to 224 × 224 already: they are evaluated without resizing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from perception.errors import InputError
from perception_datasets.images.decoding import Decoding
from perception_datasets.images.image_folder import find_image_folder
from perception_datasets.images.records import Pictures

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corruption:
    """A corruption of ImageNet-C.

    Attributes:
        name: Name of its folder.
        group: Folder in which that may lie: `noise`, `blur`, `weather`, `digital` or `extra`.
        alexnet_error: Top-1 error of AlexNet, the mean over the severities, by which the corruption error is divided;
            None for the four of `extra`, which are not part of the mean corruption error.
    """

    name: str
    group: str
    alexnet_error: float | None


@cache
def corruptions() -> tuple[Corruption, ...]:
    """Returns the 15 corruptions and the 4 of the extra set."""
    text = files("perception_datasets.images").joinpath("lists", "imagenet_c.json").read_text("utf-8")
    return tuple(Corruption(**entry) for entry in json.loads(text)["corruptions"])


def find_corruption(name: str) -> Corruption:
    """Returns a corruption by its name.

    Raises:
        InputError: There is none of that name.
    """
    known = {corruption.name: corruption for corruption in corruptions()}
    if name not in known:
        raise InputError(f"corruption {name!r}: expected one of {', '.join(known)}")
    return known[name]


def check_severity(severity: int) -> None:
    """Raises InputError for a severity that ImageNet-C does not have."""
    if severity not in SEVERITIES:
        raise InputError(f"severity: expected 1, 2, 3, 4 or 5, got {severity}")


def open_imagenet_c(
    root: Path,
    corruption: str,
    severity: int,
    *,
    classes: tuple[str, ...] | None = None,
    decoding: Decoding | None = None,
) -> Pictures:
    """Opens the pictures of one corruption at one severity.

    Args:
        root: Folder with `[group/]corruption/severity/wnid/picture`.
        corruption: Name of the corruption.
        severity: 1 to 5.
        classes: Names of all classes by label; alphabetical if not given.
        decoding: How pictures are decoded.

    Raises:
        InputError: There is no such corruption, or it lies in none of these folders.
    """
    known = find_corruption(corruption)
    check_severity(severity)
    places = [root / name / str(severity) for name in (known.name, f"{known.group}/{known.name}")]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is not None:
        found = find_image_folder(folder.parent, str(severity), classes, decoding or Decoding())
        if found is not None:
            return found
    raise InputError(
        f"{root}: expected pictures in {known.name}/{severity}/ or {known.group}/{known.name}/{severity}/, found none; "
        f"unpack ImageNet-C's {known.group}.tar there"
    )
