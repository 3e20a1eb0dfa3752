"""Records that stay in memory, and the data loaders over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch.utils.data import DataLoader, Sampler, Subset

from perception_tools.training.processes import exit_with_trainer
from perception_tools.training.sampler import SegmentSampler, records_at_once

Collate = Callable[[Sequence[Any]], Any]
Key = TypeVar("Key")
Record = TypeVar("Record")


class KeptRecords(Generic[Key, Record]):
    """Reads each record once and keeps it, as long as there is room.

    Args:
        read: Function from a key to its record.
        limit: Size of all that is kept, together; records beyond it are read every time.
        size: Size of a record; 1 unless told, so that `limit` counts records.
    """

    def __init__(
        self, read: Callable[[Key], Record], limit: int, size: Callable[[Record], int] = lambda _record: 1
    ) -> None:
        self._read, self._limit, self._size_of = read, limit, size
        self._kept: dict[Key, Record] = {}
        self._total = 0

    def __getitem__(self, key: Key) -> Record:
        """The record of a key."""
        if key in self._kept:
            return self._kept[key]
        record = self._read(key)
        size = self._size_of(record)
        if self._total + size <= self._limit:
            self._kept[key] = record
            self._total += size
        return record

    def __len__(self) -> int:
        """Number of records that are kept."""
        return len(self._kept)


class Indexable(Protocol):
    """What a data loader needs of its data."""

    def __len__(self) -> int:
        """Number of records."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """One record."""
        ...


def make_loader(
    records: Indexable,
    *,
    collate: Collate,
    batch: int,
    sampler: Sampler | None = None,
    workers: int = 0,
) -> DataLoader:
    """A loader that reads and collates in its workers, into pinned memory where there is a GPU.

    Args:
        records: The data.
        collate: Function from records to a batch; runs in the workers.
        batch: Number of records in a batch.
        sampler: Order of the keys; by default the data's own.
        workers: Number of processes; with 0 the caller reads.
    """
    return DataLoader(
        records,  # pyright: ignore[reportArgumentType]  # a DataLoader needs no more than `Indexable`
        batch_size=batch,
        sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=exit_with_trainer,
        pin_memory=torch.cuda.is_available(),
    )


@dataclass(frozen=True)
class SharedLoaders:
    """Training and validation data of any number of processes.

    Every process has records of its own in validation, none of them repeated to make their numbers equal.

    Attributes:
        learned: Training records by the sampler's keys.
        judged: Validation records.
        segments: Order of the training records.
        collate: Makes batches of training records.
        collate_judged: Makes batches of validation records.
        batch_judged: Number of records in a batch of these.
        parts: In how many parts each process computes its share of a step (`LearningRecipe.accumulate`).
        workers: Number of processes that read for each loader.
    """

    learned: Indexable
    judged: Indexable
    segments: SegmentSampler
    collate: Collate
    collate_judged: Collate
    batch_judged: int
    parts: int = 1
    workers: int = 0

    def __call__(self, rank: int, processes: int) -> tuple[DataLoader, DataLoader]:
        """The loaders of one of several processes.

        Raises:
            InputError: A step cannot be divided among them.
        """
        sampler = self.segments.of_process(rank, processes)
        share = records_at_once(self.segments.batch, processes, self.parts)
        own = Subset(self.judged, range(rank, len(self.judged), processes))  # pyright: ignore[reportArgumentType]
        return (
            make_loader(self.learned, collate=self.collate, batch=share, sampler=sampler, workers=self.workers),
            make_loader(own, collate=self.collate_judged, batch=self.batch_judged, workers=self.workers),
        )
