"""Records that stay in memory, and loaders over them."""

from __future__ import annotations

from collections import Counter

import pytest

from perception.errors import InputError
from perception_tools.training.loaders import KeptRecords, SharedLoaders, make_loader
from perception_tools.training.sampler import Key, SegmentSampler


@pytest.fixture
def reads() -> Counter[str]:
    """How often each record was read."""
    return Counter()


@pytest.fixture
def kept_of(reads: Counter[str]):
    """Makes records of as many letters as their name, kept up to a limit."""

    def make(limit: int, **options) -> KeptRecords[str, str]:
        def read(name: str) -> str:
            reads[name] += 1
            return name.upper()

        return KeptRecords(read, limit, **options)

    return make


def test_a_record_is_read_once_as_long_as_there_is_room(kept_of, reads: Counter[str]) -> None:
    kept = kept_of(2)
    assert [kept[name] for name in ("a", "b", "c") * 3] == ["A", "B", "C"] * 3
    assert reads == {"a": 1, "b": 1, "c": 3}
    assert len(kept) == 2


def test_the_limit_is_in_the_records_own_size(kept_of, reads: Counter[str]) -> None:
    kept = kept_of(5, size=len)
    for _ in range(2):
        assert [kept[name] for name in ("four", "two", "a")] == ["FOUR", "TWO", "A"]
    assert reads == {"four": 1, "two": 2, "a": 1}, "what does not fit makes no room, and keeps none from smaller ones"
    assert len(kept) == 2


def test_without_room_every_record_is_read_every_time(kept_of, reads: Counter[str]) -> None:
    kept = kept_of(0)
    assert [kept["a"], kept["a"]] == ["A", "A"]
    assert (reads["a"], len(kept)) == (2, 0)


def test_a_record_that_cannot_be_read_is_tried_again() -> None:
    failures = [OSError("busy"), None]

    def read(name: str) -> str:
        if failure := failures.pop(0):
            raise failure
        return name

    kept = KeptRecords(read, 9)
    with pytest.raises(OSError, match="busy"):
        kept["a"]
    assert kept["a"] == "a"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_collates_batches_in_the_order_of_its_records(workers: int) -> None:
    loader = make_loader([3, 1, 4, 1, 5], collate=tuple, batch=2, workers=workers)
    assert list(loader) == [(3, 1), (4, 1), (5,)]
    assert list(loader) == [(3, 1), (4, 1), (5,)], "and again in the next pass"


def test_a_sampler_gives_the_keys() -> None:
    loader = make_loader({"a": 1, "b": 2}, collate=sum, batch=2, sampler=["b", "a", "b"])  # pyright: ignore[reportArgumentType]
    assert list(loader) == [3, 2]


class Indices:
    """Eight training records that are the places they were asked for at."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, key: Key) -> int:
        return key.index


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_steps_and_judge_every_record_once(processes: int) -> None:
    judged = [f"clip {number}" for number in range(7)]
    segments = SegmentSampler(records=8, batch=6, seed=0)
    loaders = SharedLoaders(Indices(), judged, segments, list, list, batch_judged=2)
    both = [loaders(rank, processes) for rank in range(processes)]
    learned = [index for training, _ in both for batch in training for index in batch]
    assert sorted(learned) == sorted(segments.indices_of(0, 0))
    assert all(len(batch) == 6 // processes for training, _ in both for batch in training)
    seen = [name for _, validation in both for batch in validation for name in batch]
    assert sorted(seen) == judged
    assert max(len(batch) for _, validation in both for batch in validation) <= 2


def test_a_step_is_read_in_as_many_parts_as_it_is_computed_in() -> None:
    segments = SegmentSampler(records=8, batch=6, seed=0)
    training, _ = SharedLoaders(Indices(), ["clip"], segments, list, list, batch_judged=2, parts=3)(0, 1)
    assert [len(batch) for batch in training] == [2, 2, 2]
    with pytest.raises(InputError, match="expected a multiple of 2 processes times accumulate=2"):
        SharedLoaders(Indices(), ["clip"], segments, list, list, batch_judged=2, parts=2)(0, 2)
