"""`perception prepare`: data sets as stores that are quick to read again and again."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional


def prepare_forecasting(
    raw: Positional[Path],
    out: Positional[Path],
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
    from tqdm import tqdm

    from perception_datasets.forecasting import Failures, open_forecasting
    from perception_datasets.forecasting_store import prepare

    for split in splits:
        scenarios = open_forecasting(raw, split)
        failures = Failures()
        with tqdm(desc=split, total=len(scenarios), unit="scenario") as progress:
            for looked_at, failed in prepare(scenarios, out, processes=processes):
                progress.update(looked_at)
                failures.reasons.update(failed.reasons)
        print(f"{split}: {len(scenarios) - len(failures)} scenarios in {out}")
        if failures:
            print(failures.report(of=len(scenarios)))
