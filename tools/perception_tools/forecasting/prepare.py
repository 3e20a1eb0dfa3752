"""`perception prepare forecasting`: scenarios as a store that is quick to read again and again."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from perception.errors import InputError
from perception_tools.progress import watch_preparation

Raw = Annotated[Positional[Path], arg(metavar="RAW")]
Store = Annotated[Positional[Path], arg(metavar="STORE")]


def prepare_forecasting(
    raw: Raw,
    out: Store,
    splits: tuple[str, ...] = ("train", "val"),
    processes: int | None = None,
) -> None:
    """Writes scenarios to a sharded Zarr store; the same command continues an interrupted run.

    Args:
        raw: Folder of Argoverse 1, Argoverse 2, or Argoverse 2 sensor logs.
        out: The store's folder.
        splits: Which splits to prepare.
        processes: How many processes to use; all cores unless given.
    """
    from perception_datasets.forecasting import open_forecasting
    from perception_datasets.stores.forecasting import prepare

    opened = {split: open_forecasting(raw, split) for split in splits}
    for one, other in combinations(opened.values(), 2):
        if one.reads_the_files_of(other):
            raise InputError(
                f"{raw}: expected different scenarios in splits {one.split!r} and {other.split!r}, found the same "
                f"files; name one of them, as in --splits {one.split}"
            )
    for split, scenarios in opened.items():
        failures = watch_preparation(prepare(scenarios, out, processes=processes), split, len(scenarios), "scenario")
        print(f"{split}: {len(scenarios) - len(failures)} scenarios in {out}")
        if failures:
            print(failures.report(of=len(scenarios)))
