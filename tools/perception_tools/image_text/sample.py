"""`perception sample picture-questions`: drawn pictures and questions where no data set is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from perception.errors import InputError
from perception.files import writing
from perception_tools.progress import watch

Out = Annotated[Positional[Path], arg(metavar="OUT")]


def sample_picture_questions(out: Out, train: int = 2000, val: int = 400, seed: int = 0) -> None:
    """Draws pictures of coloured shapes, 64 × 64 pixels, and six questions about each, in VQAv2's format.

    Counts, attributes, presence and relations. Who does not look at the pictures is right by chance. The same command
    continues an interrupted run; larger numbers add pictures to those that are there.

    Args:
        out: Folder to write into.
        train: Number of pictures to train on.
        val: Number of pictures to validate on.
        seed: The same seed gives the same pictures and questions.
    """
    from perception_datasets.procedural.picture_questions import write_picture_questions

    counts = {"train": train, "val": val}
    for name, number, least in (*((split, count, 1) for split, count in counts.items()), ("seed", seed, 0)):
        if number < least:
            raise InputError(f"--{name} {number}: expected at least {least}; give such a number")
    with writing(out):
        for split, count in counts.items():
            made = write_picture_questions(out, split, count=count, seed=seed)
            watch(made, f"{split} pictures", count, "picture", lambda _: 1)
    print(f"{train} and {val} drawn pictures with questions in train and val: {out}")
