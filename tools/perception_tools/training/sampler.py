"""The order of training data: shuffled passes, cut into segments that are Lightning's epochs.

It is a function of (seed, pass), never of a generator's past, so a run that is killed and resumed sees what an unbroken
run sees, and so do any number of processes together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from torch.utils.data import Sampler

from perception.errors import InputError

SEGMENT_BATCHES = 500
"""Lightning's epoch is at most this many batches, so that a killed run loses minutes, not a pass over the data."""


@dataclass(frozen=True)
class Key:
    """Which record of the data, in which pass over the data, and which of its repetitions in that pass."""

    index: int
    data_pass: int
    repetition: int = 0


class SegmentSampler(Sampler[Key]):
    """Shuffled passes over the data, cut into segments: Lightning's epoch `e` is segment `e` of all passes.

    Args:
        records: Number of records.
        batch: Records in a step, over all processes.
        seed: Seed of the order.
        rank: Rank of this process.
        processes: Number of processes that share each step.
        repeats: Number of times that a record stands in the shuffled order, one after the other; a pass is as long as
            without, so it holds only a part of the records (repeated augmentation, https://arxiv.org/abs/1901.09335).
    """

    def __init__(
        self, records: int, batch: int, seed: int, rank: int = 0, processes: int = 1, repeats: int = 1
    ) -> None:
        if batch % processes:
            raise InputError(
                f"step of {batch}: expected a multiple of the {processes} processes; train on as many as divide it"
            )
        if records < batch:
            raise InputError(
                f"training data: expected at least the {batch} records that fill a step, got {records}; "
                "make steps smaller or give more data"
            )
        self.records, self.batch, self.seed, self.rank, self.processes = records, batch, seed, rank, processes
        self.repeats = repeats
        batches = records // batch
        self.segments_per_pass = -(-batches // SEGMENT_BATCHES)
        self.batches = batches // self.segments_per_pass
        self.segment = 0

    def of_process(self, rank: int, processes: int) -> SegmentSampler:
        """The same order, for one of several processes."""
        return SegmentSampler(self.records, self.batch, self.seed, rank, processes, self.repeats)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch, also after a resume."""
        self.segment = epoch

    def __len__(self) -> int:
        return self.batches * self.batch // self.processes

    def __iter__(self) -> Iterator[Key]:
        data_pass, part = divmod(self.segment, self.segments_per_pass)
        order, share = self._order(data_pass), self.batch // self.processes
        for batch in range(part * self.batches, (part + 1) * self.batches):
            # Ranks take turns, so that the repetitions of a record go to different processes, as timm's sampler does.
            first, step = batch * self.batch + self.rank * share, 1
            if self.repeats > 1:
                first, step = batch * self.batch + self.rank, self.processes
            places = range(first, first + share * step, step)
            yield from (Key(int(order[place]), data_pass, place % self.repeats) for place in places)

    def indices_of(self, segment: int, step: int) -> list[int]:
        """Indices of the records of one step of a segment, over all processes."""
        data_pass, part = divmod(segment, self.segments_per_pass)
        first = (part * self.batches + step) * self.batch
        return self._order(data_pass)[first : first + self.batch].tolist()

    def _order(self, data_pass: int) -> Int64[np.ndarray, " records"]:
        order = np.random.default_rng((self.seed, data_pass)).permutation(self.records)
        return np.repeat(order[: -(-self.records // self.repeats)], self.repeats)[: self.records]


def records_at_once(batch: int, processes: int, parts: int) -> int:
    """Number of records that a process computes at once: a `DataLoader`'s batch beside a `SegmentSampler`.

    Args:
        batch: Records in a step, over all processes.
        processes: How many share each step.
        parts: In how many parts each process computes its share (`LearningRecipe.accumulate`).

    Raises:
        InputError: A step cannot be divided so.
    """
    if parts < 1 or batch % (processes * parts):
        raise InputError(
            f"step of {batch}: expected a multiple of {processes} processes times accumulate={parts}; "
            "choose an accumulate that divides each process's share"
        )
    return batch // (processes * parts)
