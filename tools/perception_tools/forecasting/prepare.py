"""`perception prepare forecasting`: scenarios as a store that is quick to read again and again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from perception.errors import InputError, first_of
from perception.files import url_of
from perception_tools.extras import require
from perception_tools.output_places import keep_apart
from perception_tools.progress import projection, report_preparation, watch_preparation

PUBLISHED_SIZES = (205_942, 199_908, 250_000)
"""Scenarios of Argoverse 1's and 2's training splits, and of all of Argoverse 2."""

Raw = Annotated[Positional[Path], arg(metavar="RAW")]
Store = Annotated[Positional[Path], arg(metavar="STORE")]


def prepare_forecasting(
    raw: Raw,
    out: Store,
    splits: tuple[str, ...] = ("train", "val"),
    processes: int | None = None,
    ray: str | None = None,
    decimals: int | None = None,
    replace: bool = False,
    verify: bool = False,
) -> int:
    """Writes scenarios to a store in Zarr's layout; the same command continues an interrupted run.

    Scenarios whose files have changed since are read again. The exit status is 1 if a split has none that can be read.

    Args:
        raw: Folder of Argoverse 1, Argoverse 2, or Argoverse 2 sensor logs.
        out: The store's folder, or a URL that fsspec knows (s3://bucket/store): the store is then written to a copy in
            $PERCEPTION_CACHE first.
        splits: Which splits to prepare.
        processes: How many processes to use; all cores unless given.
        ray: Work on a Ray cluster instead: HOST:PORT of its head, `auto` for the one that this host belongs to, or
            `local` for a cluster of this host alone. Every host needs RAW and STORE at the same paths.
        decimals: Number of decimals that positions (metres) and velocities (m/s) are rounded to; headings (radians)
            keep one more. 2 keeps centimetres and makes stores of Argoverse 2 ten times as small. The store records
            it. By default every bit is kept.
        replace: Drop scenarios that the store holds and RAW lacks; without it, that is refused.
        verify: Write nothing: read every scenario of the store and name those that are damaged, and those that RAW has
            and the store lacks. The exit status is then 1 if there is any.
    """
    from perception_datasets.folders import check_split
    from perception_datasets.forecasting import open_forecasting
    from perception_datasets.stores.forecasting import prepare

    if ray is not None:
        if processes is not None:
            raise InputError(
                "--processes and --ray: expected one of them, since a cluster knows its cores; leave one out"
            )
        require("ray")
        raw = raw.absolute()  # the cluster's processes work elsewhere
    url = url_of(out)
    if url is not None:
        from perception_datasets.stores.remote import download, local_copy, upload

        out = local_copy(url)
        for split in splits:
            with suppress(InputError):  # what is there already need not be prepared again
                download(url, split)
    if ray is not None:
        out = out.absolute()
    keep_apart([out], [raw])
    for split in splits:
        check_split(split)
    opened = {split: open_forecasting(raw, split) for split in splits}
    for one, other in combinations(opened.values(), 2):
        if one.reads_the_files_of(other):
            raise InputError(
                f"{raw}: expected different scenarios in splits {one.split!r} and {other.split!r}, found the same "
                f"files; name one of them, as in --splits {one.split}"
            )
    if verify:
        return max(_verify(out, split, scenarios.ids) for split, scenarios in opened.items())
    status = 0
    for split, scenarios in opened.items():
        writing = prepare(scenarios, out, processes=processes, cluster=ray, replace=replace, decimals=decimals)
        prepared = watch_preparation(writing, split, len(scenarios), "scenario")
        print(f"{split}: {len(scenarios) - len(prepared.failures)} scenarios in {out}")
        if prepared.read:
            print(f"{split}: {projection(prepared, 'scenarios', PUBLISHED_SIZES)}")
        status |= report_preparation(prepared, split, "scenarios")
        if url is not None:
            upload(out, url, [split])
            print(f"{split}: written to {url}")
    return status


def _verify(out: Path, split: str, ids: Sequence[str]) -> int:
    """Names damaged and missing scenarios; returns 1 if there are any."""
    from perception_datasets.stores.forecasting import SCHEMA, find_store
    from perception_datasets.stores.writer import verify_split

    found = find_store(out, split)
    if found is None:
        raise InputError(f"{out}: expected a store, found none; prepare it first")
    verified = watch_preparation(verify_split(out, split, SCHEMA), f"verify {split}", len(ids), "scenario")
    print(f"{split}: {verified.records - len(verified.failures)} scenarios are whole in {out}")
    for name, reason in verified.failures.reasons.items():
        print(f"  {name}: {reason}")
    missing = [] if verified.failures else sorted(set(ids) - set(found.names()))
    if missing:
        print(f"{len(missing)} more could not be read, or are new: {first_of(missing)}")
    return int(bool(verified.failures or missing))
