"""Scores of anybody's predictions of ImageNet's classes, by the rules that `evaluate` scores by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from perception.errors import InputError, first_of
from perception_datasets.errors import Failures
from perception_datasets.images.class_lists import read_class_list
from perception_tools.classification.predictions import Predictions
from perception_tools.classification.scores import ClassScores, compare, score
from perception_tools.image.prediction_files import GivenPredictions, picture_key, read_predictions
from perception_tools.image.sets import EvaluationSet, Suite, open_split, open_suite, read_class_names
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.records_file import RECORDS_FILE, RecordsWriter


def score_imagenet(
    predictions: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE...")],
    data: Path,
    out: Path,
    split: str = "val",
    suite: Suite | None = None,
    classes: Path | None = None,
) -> dict:
    """Scores files of predictions: OUT/metrics.json and OUT/records.parquet.

    A file holds logits or probabilities of all classes (.npz with `logits` and `ids`, .npy in the order of the
    pictures), or the most likely classes of each picture by name or number (.csv, .json, .jsonl). Pictures are told by
    their names without folder and ending. Of several files the first is compared with each of the others.

    Args:
        predictions: Files of predictions.
        data: Folder or archive of the pictures, for their labels; no picture is decoded.
        out: Folder for the files.
        split: Split that was predicted.
        suite: Score by the rule of this set: imagenet-a and imagenet-r among their 200 classes.
        classes: Text file with the names of all classes, one a line, in the order of the logits; ImageNet's 1,000 by
            default.

    Raises:
        InputError: A file or the data cannot be used, or they are not about the same pictures.
    """
    keep_apart([out], [data, *predictions, *([classes] if classes else [])])
    if suite == "imagenet-c":
        raise InputError("--suite imagenet-c: expected one set of pictures; score each corruption's folder by itself")
    if not predictions:
        raise InputError("score imagenet: expected at least one file of predictions, got none; give one")
    names = read_class_list("imagenet1k") if classes is None else read_class_names(classes)
    of = open_split(data, split, names, None) if suite is None else next(open_suite(suite, data, split, names, None))
    found = {path.name: _score(path, names, of) for path in predictions}
    if len(found) < len(predictions):
        raise InputError("FILE: expected files with different names, found two that are called alike; rename one")
    tables = {name: scores.as_json() for name, scores in found.items()}
    first, *others = found
    metrics = tables[first] | {
        "name": first,
        "others": {name: tables[name] for name in others},
        "paired": {name: compare(found[first], found[name]) for name in others},
    }
    with RecordsWriter(out / RECORDS_FILE) as records:
        for name, scores in found.items():
            records.add(scores.columns(name, of.name))
    write_json(out / "metrics.json", metrics)
    for name, scores in found.items():
        numbers = tables[name]
        print(f"{name}: top-1 {100 * numbers['top1']:.2f} %, top-5 {100 * numbers['top5']:.2f} %", end="")
        print(f" of {numbers['pictures']:,} pictures{_remark(scores)}")
    return metrics


def _remark(scores: ClassScores) -> str:
    """What makes a score look like a mix-up; empty for most."""
    if scores.hits[:, 0].all():
        return "; all are right: is this the file of the truth?"
    if len(set(scores.predicted.tolist())) == 1 and len(scores.predicted) > 1:
        return "; every picture has the same prediction"
    return ""


def _score(path: Path, names: tuple[str, ...], of: EvaluationSet) -> ClassScores:
    given = read_predictions(path, names)
    records = [of.source[index] for index in range(len(of.source))]
    keys = [picture_key(record.id) for record in records]
    rows = _rows(path, given, keys)
    scores = given.scores[rows]
    if not given.are_ranks:
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        is_chance = (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3)
        scores = scores if is_chance else shifted / shifted.sum(axis=1, keepdims=True)
    labels = np.array([-1 if record.label is None else record.label for record in records], dtype=np.int64)
    ids = tuple(record.id for record in records)
    found = Predictions(ids, labels, scores.astype(np.float32), Failures())
    return score(found, names, of.classes, noun="picture", left_out=of.left_out)


def _rows(path: Path, given: GivenPredictions, keys: list[str]) -> np.ndarray:
    """The row of each picture's prediction."""
    if given.ids is None:
        if len(given.scores) != len(keys):
            raise InputError(
                f"{path}: expected a prediction for each of {len(keys)} pictures, in their order, found "
                f"{len(given.scores)}; save `ids` with them (.npz)"
            )
        return np.arange(len(keys))
    if len(set(keys)) < len(keys):
        raise InputError("data: expected pictures with different names, found some alike; give logits in their order")
    row_of = {name: row for row, name in enumerate(given.ids)}
    missing = [key for key in keys if key not in row_of]
    if missing:
        raise InputError(
            f"{path}: expected predictions for all {len(keys)} pictures, found none for {len(missing)}: "
            f"{first_of(missing)}; predict those too, or score another split"
        )
    return np.array([row_of[key] for key in keys], dtype=np.int64)
