"""Progress of long work, on the screen."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from perception_datasets.stores.writer import Prepared


_Item = TypeVar("_Item")


def watch(items: Generator[_Item, None, None], name: str, total: int, unit: str, take: Callable[[_Item], int]) -> None:
    """Shows how far a generator is that keeps what is complete.

    Args:
        items: Ended where this is stopped.
        name: What is made.
        total: How many records it makes.
        unit: What one of them is called.
        take: Takes each item; returns how many records it stands for.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM stopped it.
    """
    from tqdm import tqdm

    from perception.processes import stopped_by_sigterm

    try:
        with stopped_by_sigterm(), closing(items), tqdm(desc=name, total=total, unit=unit) as progress:
            for item in items:
                progress.update(take(item))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; what is complete is kept, and the same command continues") from None


def watch_preparation(parts: Generator[Prepared, None, None], name: str, total: int, unit: str) -> Prepared:
    """Shows how far a preparation is; returns the outcome of all parts together."""
    from perception_datasets.stores.writer import Prepared

    whole = Prepared()

    def take(part: Prepared) -> int:
        whole.add(part)
        return part.records

    watch(parts, name, total, unit, take)
    return whole


def report_preparation(prepared: Prepared, name: str, noun: str) -> int:
    """Prints what was read again and what could not be read; returns 1 if nothing could be used, otherwise 0."""
    if prepared.renewed:
        print(f"{name}: {prepared.renewed} {noun} read again, because their files had changed or the store was damaged")
    if prepared.failures:
        print(prepared.failures.report(of=prepared.records, noun=noun))
    return int(len(prepared.failures) == prepared.records)


def projection(prepared: Prepared, noun: str, sizes: Sequence[int]) -> str:
    """Returns what a preparation cost, and what other numbers of records would cost in one process.

    Args:
        prepared: The outcome of all parts, some of whose records were read now.
        noun: What the records are called.
        sizes: Numbers of records of other data sets.
    """
    seconds, size = prepared.seconds / prepared.read, prepared.stored_bytes / prepared.records
    others = ", ".join(f"{n:,} in {n * seconds / 3600:.2g} hours and {n * size / 1e9:.2g} GB" for n in sizes)
    shared = f" beside {prepared.shared_bytes / 1e6:.1f} MB that they share" if prepared.shared_bytes else ""
    each = f"{1e3 * seconds:.1f} ms and {size / 1e3:.1f} kB for each of the {noun}{shared}"
    return f"{each}; so one process would take {others}"
