"""What a classifier says of records: probabilities of its classes, and which records could not be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from tqdm import tqdm

from perception.errors import InputError
from perception_datasets.errors import Failures, RecordError
from perception_tools.training.loaders import Indexable, make_loader


@dataclass(frozen=True)
class Predictions:
    """What a classifier says of the records that could be read.

    Attributes:
        ids: Name of each record.
        labels: Label of each record, in the classes of its set.
        probabilities: Probability of each of the model's classes.
        failures: Records that could not be read.
    """

    ids: tuple[str, ...]
    labels: Int64[np.ndarray, " records"]
    probabilities: Float32[np.ndarray, "records classes"]
    failures: Failures

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Prepared:
    """A record as a model is shown it, or why there is none.

    Attributes:
        id: Its name.
        label: Its label; -1 if there is none.
        value: What the model's `prepare` gave; None if the record could not be read.
        fault: Why it could not be read.
    """

    id: str
    label: int
    value: Any
    fault: str = ""


def prepare(id: str, label: int | None, read: Callable[[], Any]) -> Prepared:
    """A record as a model is shown it; one that cannot be read does not end an evaluation.

    Args:
        id: Its name.
        label: Its label.
        read: Decodes and prepares it.
    """
    number = -1 if label is None else label
    try:
        return Prepared(id, number, read())
    except InputError as error:
        return Prepared(id, number, None, str(error))


def predict_prepared(
    records: Indexable,
    classify: Callable[[Sequence[Any]], Float32[Tensor, "batch classes"]],
    *,
    batch: int,
    workers: int,
    title: str,
    noun: str,
) -> Predictions:
    """Classifies all records of a set.

    Args:
        records: Gives a `Prepared` for each number.
        classify: What turns prepared records into logits.
        batch: Number of records in one call of the model.
        workers: Number of processes that decode.
        title: What the progress bar says.
        noun: What a record is called, in the singular.

    Raises:
        InputError: There is no record that can be read.
    """
    loader = make_loader(records, collate=list, batch=batch, workers=workers)
    failures = Failures()
    ids: list[str] = []
    labels: list[int] = []
    chances: list[np.ndarray] = []
    for group in tqdm(loader, desc=title, leave=False):
        for bad in (record for record in group if record.value is None):
            failures.add(bad.id, RecordError(bad.fault))
        known = [record for record in group if record.value is not None]
        if known:
            ids += [record.id for record in known]
            labels += [record.label for record in known]
            with torch.inference_mode():
                logits = classify([record.value for record in known])
            chances.append(logits.float().softmax(-1).cpu().numpy())
    if not ids:
        report = failures.report(len(records), f"{noun}s")
        raise InputError(f"{title}: expected {noun}s to classify, got none\n{report}")
    return Predictions(tuple(ids), np.array(labels, dtype=np.int64), np.concatenate(chances), failures)
