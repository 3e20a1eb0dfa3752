"""Anybody's predictions of pictures: logits or probabilities of all classes, or the most likely classes by name.

* `.npz` with `logits` or `probabilities` [pictures, classes] and `ids`; `.npy` with logits alone, in the order of the
  pictures.
* `.csv`, `.json` (a list, or an object by id) or `.jsonl` with `id` (or `file`, `filename`, `image`, `picture`) and
  `prediction` or `predictions`, the most likely first; classes by name or number.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from jaxtyping import Float

from perception.errors import InputError, first_of
from perception.files import reading

ID_FIELDS = ("id", "picture", "file", "filename", "image", "image_id", "path")
ANSWER_FIELDS = ("predictions", "prediction", "predicted", "top5", "pred", "label")
_MAX_BYTES = 2 << 30
_CURE = "give the predictions as .npz, .npy, .csv, .json or .jsonl"


@dataclass(frozen=True)
class GivenPredictions:
    """Predictions of somebody else's model.

    Attributes:
        ids: Name of each picture, without folder and ending; None where the file has none, so that the order counts.
        scores: A score for each class, higher for likelier ones.
        are_ranks: Whether the scores are ranks of named classes, and no probabilities.
    """

    ids: tuple[str, ...] | None
    scores: Float[np.ndarray, "pictures classes"]
    are_ranks: bool


def read_predictions(path: Path, classes: Sequence[str]) -> GivenPredictions:
    """Reads a file of predictions.

    Args:
        path: The file.
        classes: Names of all classes, by label.

    Raises:
        InputError: It cannot be read, names a class that is not among them, or a picture twice.
    """
    with reading(path, _CURE):
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: expected at most {_MAX_BYTES >> 30} GB; split it")
        if path.suffix in (".npz", ".npy"):
            return _read_arrays(path, classes)
        return _ranked(path, _records(path), classes)


def picture_key(name: str) -> str:
    """A picture's name without folder and ending, as ids of predictions are compared."""
    return PurePath(name).stem


def _read_arrays(path: Path, classes: Sequence[str]) -> GivenPredictions:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        scores, ids = loaded, None
    else:
        with loaded:
            name = next((key for key in ("logits", "probabilities", "scores") if key in loaded.files), None)
            if name is None:
                raise InputError(
                    f"{path}: expected an array `logits` or `probabilities`, found {first_of(loaded.files)}"
                )
            scores = loaded[name]
            ids = tuple(picture_key(str(one)) for one in loaded["ids"]) if "ids" in loaded.files else None
    if scores.ndim != 2 or scores.shape[1] != len(classes) or scores.dtype.kind != "f":
        raise InputError(
            f"{path}: expected floating-point numbers of shape (pictures, {len(classes)}), found {scores.dtype} of "
            f"shape {scores.shape}; give one for each class"
        )
    if not np.isfinite(scores).all():
        raise InputError(f"{path}: expected finite numbers, found others; compute the predictions again")
    _expect_unique(path, ids, len(scores))
    return GivenPredictions(ids, scores, are_ranks=False)


def _records(path: Path) -> list[Mapping[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file, restval=""))
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    content = json.loads(text)
    if isinstance(content, dict):
        return [{"id": name, "predictions": value} for name, value in content.items()]
    if isinstance(content, list):
        return content
    raise InputError(f"{path}: expected a list of predictions or an object by picture, found {type(content).__name__}")


def _ranked(path: Path, records: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> GivenPredictions:
    if not records or not all(isinstance(record, Mapping) for record in records):
        raise InputError(f"{path}: expected records with a picture and a prediction, found none; {_CURE}")
    names = list(records[0])
    id_field = next((name for name in ID_FIELDS if name in names), None)
    answer_field = next((name for name in ANSWER_FIELDS if name in names), None)
    if id_field is None or answer_field is None:
        raise InputError(
            f"{path}: expected fields such as `id` and `prediction`, found {first_of(names)}; rename them so"
        )
    number_of = {name: number for number, name in enumerate(classes)}
    scores = np.zeros((len(records), len(classes)))
    for row, record in enumerate(records):
        ranked = _as_list(record[answer_field])
        if not ranked or None in record:  # the csv module keeps cells beyond the header under None
            found = "more" if ranked else "none"
            raise InputError(
                f"{path}: {record[id_field]}: expected classes in one cell, found {found}; separate them by spaces"
            )
        for rank, answer in enumerate(ranked):
            scores[row, _class_number(path, answer, number_of)] = 1.0 / (1 + rank)
    ids = tuple(picture_key(str(record[id_field])) for record in records)
    _expect_unique(path, ids, len(records))
    return GivenPredictions(ids, scores, are_ranks=True)


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [part for part in value.replace(",", " ").replace(";", " ").split() if part]
    return list(value) if isinstance(value, list | tuple) else [value]


def _class_number(path: Path, answer: Any, number_of: Mapping[str, int]) -> int:
    """The label of a class that is given by name or by number."""
    name = str(answer).strip()
    if name in number_of:
        return number_of[name]
    if name.isdigit() and int(name) < len(number_of):
        return int(name)
    known = f"{len(number_of)} classes ({first_of(list(number_of))})"
    raise InputError(f"{path}: expected one of {known} or its number, found {name[:80]!r}; check the list of classes")


def _expect_unique(path: Path, ids: Sequence[str] | None, rows: int) -> None:
    if ids is not None and len(ids) != rows:
        raise InputError(f"{path}: expected as many ids as predictions, {rows}, found {len(ids)}; save them together")
    if ids is not None and len(set(ids)) < len(ids):
        twice = first_of(sorted({name for name in ids if ids.count(name) > 1})) if len(ids) < 10_000 else "some"
        raise InputError(f"{path}: expected each picture once, found more than one prediction for {twice}; keep one")
