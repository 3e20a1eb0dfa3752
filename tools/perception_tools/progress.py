"""Progress of long work, on the screen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perception_datasets.errors import Failures


def watch_preparation(parts: Iterable[tuple[int, Failures]], name: str, total: int, unit: str) -> Failures:
    """Shows how far a preparation is; gives what could not be read."""
    from tqdm import tqdm

    from perception_datasets.errors import Failures

    failures = Failures()
    with tqdm(desc=name, total=total, unit=unit) as progress:
        for looked_at, failed in parts:
            progress.update(looked_at)
            failures.reasons.update(failed.reasons)
    return failures
