"""`perception sample rooms`: furnished rooms and questions where no scans are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from perception.errors import InputError
from perception.files import writing
from perception_tools.progress import watch

Out = Annotated[Positional[Path], arg(metavar="OUT")]


def sample_rooms(out: Out, count: int = 100, seed: int = 0, processes: int | None = None) -> None:
    """Makes furnished rooms, in the format of ScanNet's arrays, and questions about them, in SQA3D's.

    The same command continues an interrupted run; a larger count adds rooms and keeps those that are there. Of ten
    rooms, eight are for training, one for validation and one for the test.

    Args:
        out: Folder to write into: `scans`, the files of questions and annotations, and `answer_dict.json`.
        count: How many rooms to make.
        seed: The same seed gives the same rooms and questions.
        processes: How many processes to use; all cores unless given.
    """
    from perception_datasets.rooms.maker import make_rooms

    if count < 1:
        raise InputError(f"--count {count}: expected at least 1; give the number of rooms to make")
    if seed < 0:
        raise InputError(f"--seed {seed}: expected at least 0; choose such a number")
    with writing(out):
        watch(make_rooms(out, count=count, seed=seed, processes=processes), "rooms", count, "room", lambda _: 1)
    print(f"{count} synthetic rooms with questions: {out}")
