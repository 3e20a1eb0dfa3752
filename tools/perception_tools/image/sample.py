"""`perception sample shapes`: small drawn pictures where no data set is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from perception.errors import InputError
from perception.files import writing
from perception_tools.progress import watch

Out = Annotated[Positional[Path], arg(metavar="OUT")]


def sample_shapes(out: Out, train: int = 2000, val: int = 400, seed: int = 0) -> None:
    """Draws pictures of eight shapes, 32 × 32 pixels, as OUT/train/CLASS/*.png and OUT/val/CLASS/*.png.

    The same command continues an interrupted run.

    Args:
        out: Folder to write into.
        train: Number of pictures to train on.
        val: Number of pictures to validate on.
        seed: The same seed gives the same pictures.
    """
    from perception_datasets.procedural.shapes import write_shapes

    counts = {"train": train, "val": val}
    for name, number, least in (*((split, count, 1) for split, count in counts.items()), ("seed", seed, 0)):
        if number < least:
            raise InputError(f"--{name} {number}: expected at least {least}; give such a number")
    with writing(out):
        for split, count in counts.items():
            watch(write_shapes(out, split, count=count, seed=seed), f"{split} pictures", count, "picture", lambda _: 1)
    print(f"{train} and {val} pictures of drawn shapes in train and val: {out}")
