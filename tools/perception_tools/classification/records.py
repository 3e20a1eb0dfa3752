"""Records with labels as they enter the batches of training and validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from perception.errors import InputError
from perception_tools.classification.learning import LabelledBatch
from perception_tools.classification.predictions import Prepared
from perception_tools.training.loaders import Indexable, SharedLoaders
from perception_tools.training.readable import Faults, first_readable
from perception_tools.training.sampler import SegmentSampler


class LabelledRecords(Protocol):
    """A split of records with labels."""

    @property
    def path(self) -> Path:
        """File or folder that it was opened from."""
        ...

    @property
    def labels(self) -> Int64[np.ndarray, " records"]:
        """Label of each record; -1 where there is none."""
        ...

    @property
    def ids(self) -> Any:
        """Name of each record, by its number."""
        ...


Records = TypeVar("Records", bound=LabelledRecords)


@dataclass(frozen=True)
class ShownRecord:
    """A training record as it enters a batch.

    Attributes:
        values: What the model is shown: each of the record's changed copies.
        label: Its class.
        unread: Name and fault of the records that should have stood here and could not be read.
    """

    values: tuple[Tensor, ...]
    label: int
    unread: Faults = ()


def show_readable(
    records: LabelledRecords, start: int, show: Callable[[int], Sequence[Tensor]], noun: str
) -> ShownRecord:
    """A training record; one that cannot be read is replaced by the next one, and named.

    Args:
        records: The training split; all of them have labels.
        start: Number of the record that is wanted.
        show: Function from a record's number to the copies that the model is shown; raises InputError if that fails.
        noun: What records are called, in the plural.

    Raises:
        InputError: It and those after it cannot be read.
    """
    found = first_readable(show, start, len(records.labels), lambda index: records.ids[index], noun)
    return ShownRecord(tuple(found.value), int(records.labels[found.index]), found.unread)


def labelled_loaders(
    learned: Indexable, judged: Indexable, segments: SegmentSampler, *, parts: int, batch_judged: int, workers: int
) -> SharedLoaders:
    """Training and validation data of a classifier, for any number of processes; see `SharedLoaders`."""
    return SharedLoaders(
        learned, judged, segments, collate_training, collate_validation, batch_judged, parts=parts, workers=workers
    )


def collate_training(shown: Sequence[ShownRecord]) -> LabelledBatch:
    """Records and their copies side by side."""
    seen = [(value, record.label) for record in shown for value in record.values]
    return _batch(seen, [fault for record in shown for fault in record.unread])


def collate_validation(prepared: Sequence[Prepared]) -> LabelledBatch:
    """Records side by side, without those that could not be read; there may be none."""
    seen = [(record.value, record.label) for record in prepared if record.value is not None]
    return _batch(seen, [(record.id, record.fault) for record in prepared if record.value is None])


def _batch(seen: Sequence[tuple[Tensor, int]], unread: Sequence[tuple[str, str]]) -> LabelledBatch:
    values = torch.stack([value for value, _ in seen]) if seen else torch.zeros(0)
    labels = torch.tensor([label for _, label in seen], dtype=torch.int64)
    return LabelledBatch(values, labels, tuple(unread))


def labelled(records: Records, split: str, noun: str) -> Records:
    """The split, which must have labels.

    Args:
        records: The split.
        split: Its name.
        noun: What a record is called, in the singular.

    Raises:
        InputError: It has records without a label.
    """
    unlabelled = int((records.labels < 0).sum())
    if unlabelled:
        raise InputError(
            f"{records.path}: expected labels for all {noun}s of split {split!r}, found {unlabelled} without one; "
            "give a labelled split"
        )
    return records
