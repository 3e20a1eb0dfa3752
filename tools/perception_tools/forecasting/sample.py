"""`perception sample argoverse2`: synthetic traffic where none that was recorded is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from perception.errors import InputError
from perception.files import writing
from perception_tools.progress import watch

Out = Annotated[Positional[Path], arg(metavar="OUT")]


def sample_argoverse2(
    out: Out,
    count: int = 100,
    seed: int = 0,
    splits: tuple[str, ...] = ("train", "val"),
    processes: int | None = None,
) -> None:
    """Makes synthetic traffic scenarios in Argoverse 2's own format; the same command continues an interrupted run.

    Args:
        out: Folder to write into; it gets a folder for each split.
        count: How many scenarios to make for each split.
        seed: The same seed gives the same scenarios; the splits differ from each other.
        splits: Names of the splits.
        processes: How many processes to use; all cores unless given.
    """
    from perception_datasets.folders import check_split
    from perception_datasets.procedural.maker import make_split

    if count < 1:
        raise InputError(f"--count {count}: expected at least 1; give the number of scenarios to make")
    if seed < 0:
        raise InputError(f"--seed {seed}: expected at least 0; choose such a number")
    for split in splits:
        check_split(split)
    with writing(out):
        for split in splits:
            made = make_split(out, split, count=count, seed=seed, processes=processes)
            watch(made, f"{split} scenarios", count, "scenario", lambda _: 1)
    print(f"{count} synthetic scenarios in each of {', '.join(splits)}: {out}")
