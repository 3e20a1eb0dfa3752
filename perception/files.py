"""Files that are complete, or as they were before."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perception.errors import InputError

_CURES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space, or choose another disk"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a folder that you may write to"),
}


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Replaces a file in one step: readers find the new content or the former file, never a part.

    Yields a path in the same folder, which is made where it does not exist. The block writes the file there; when the
    block ends, the file is flushed to the disk and renamed to `path`. If the block raises, or is interrupted, `path`
    stays as it was and the temporary file is removed; only a killed process leaves it behind, under a hidden name. Of
    two writers at the same time, the one that ends last wins.

    Raises:
        InputError: The file cannot be written. Any OSError in the block counts as this, so the block should only write.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _flush_to_disk(temporary)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError in the block into an InputError: which file or folder, what happened, what to do about it."""
    try:
        yield
    except OSError as error:
        cure = _CURES.get(error.errno or 0, "choose another path")
        raise InputError(f"{path}: cannot be written ({_reason(error, path)}); {cure}") from error


def _flush_to_disk(path: Path) -> None:
    """Without this, a power cut soon after the rename can leave an empty file under the new name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _reason(error: OSError, path: Path) -> str:
    """What the system says, with the file that it says it of where that is not `path` or a temporary file beside it."""
    words = error.strerror or str(error) or type(error).__name__
    elsewhere = error.filename is not None and Path(str(error.filename)).parent != path.parent
    return f"{words}: {error.filename}" if elsewhere else words
