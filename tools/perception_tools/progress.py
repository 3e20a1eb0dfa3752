"""Progress of long work, on the screen."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perception_datasets.stores.writer import Prepared


def watch_preparation(parts: Generator[Prepared, None, None], name: str, total: int, unit: str) -> Prepared:
    """Shows how far a preparation is; returns the outcome of all parts together.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM stopped it.
    """
    from tqdm import tqdm

    from perception.processes import stopped_by_sigterm
    from perception_datasets.stores.writer import Prepared

    whole = Prepared()
    try:
        with stopped_by_sigterm(), closing(parts), tqdm(desc=name, total=total, unit=unit) as progress:
            for part in parts:
                progress.update(part.records)
                whole.records += part.records
                whole.renewed += part.renewed
                whole.failures.reasons.update(part.failures.reasons)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; what is complete is kept, and the same command continues") from None
    return whole


def report_preparation(prepared: Prepared, name: str, noun: str) -> int:
    """Prints what was read again and what could not be read; returns 1 if nothing could be used, otherwise 0."""
    if prepared.renewed:
        print(f"{name}: {prepared.renewed} {noun} read again, because their files had changed or the store was damaged")
    if prepared.failures:
        print(prepared.failures.report(of=prepared.records, noun=noun))
    return int(len(prepared.failures) == prepared.records)
