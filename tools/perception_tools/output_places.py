"""Where a command may write: not over what it reads, nor in among it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from perception.errors import InputError


def keep_apart(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Checks that nothing is written into a data set, around it, or over a file that is read.

    Links are followed, those directly in a folder of data included: a data set is often put together from them.

    Args:
        outputs: Folders and files that will be written.
        inputs: Folders and files that are read; those that do not exist are left for their readers to complain about.

    Raises:
        InputError: An output is an input, lies in a folder of inputs, or is a folder that holds one.
    """
    for read in inputs:
        for place in _places(read):
            for output in outputs:
                _check(output, output.resolve(), read, place)


def _places(read: Path) -> Iterator[Path]:
    """Where an input really lies."""
    yield read.resolve()
    if read.is_dir():
        yield from (entry.resolve() for entry in read.iterdir() if entry.is_symlink())


def _check(output: Path, written: Path, read: Path, place: Path) -> None:
    if written == place:
        relation = "it is the same"
    elif written.is_relative_to(place) and place.is_dir():
        relation = "it lies in that"
    elif place.is_relative_to(written) and place.is_dir():
        relation = "it holds that"
    else:
        return
    raise InputError(
        f"{output}: expected a place for the results apart from the data in {read}, but {relation}; "
        "choose a folder beside it"
    )
