"""`perception sample objects`: labelled point clouds where none are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from perception.errors import InputError
from perception.files import writing
from perception_tools.progress import watch

Out = Annotated[Positional[Path], arg(metavar="OUT")]


def sample_objects(out: Out, count: int = 1500, seed: int = 0) -> None:
    """Makes point clouds of single pieces of furniture, fifteen classes, in folders of splits and classes.

    The same command continues an interrupted run; a larger count adds clouds and keeps those that are there. Of ten
    clouds of a class, eight are for training, one for validation and one for the test.

    Args:
        out: Folder to write into.
        count: How many clouds to make.
        seed: The same seed gives the same clouds.
    """
    from perception_datasets.rooms.objects import make_objects

    if count < 1:
        raise InputError(f"--count {count}: expected at least 1; give the number of clouds to make")
    if seed < 0:
        raise InputError(f"--seed {seed}: expected at least 0; choose such a number")
    with writing(out):
        watch(make_objects(out, count=count, seed=seed), "objects", count, "cloud", lambda _: 1)
    print(f"{count} synthetic clouds: {out}")
