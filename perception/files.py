"""Files and folders: written completely or left as they were, read with clear errors, and held by one process."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perception.errors import InputError

_FREE_SPACE = "free some space, or choose another disk"
_CURES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FREE_SPACE),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a folder that you may write to"),
}
_CUT_OFF = re.compile(r"(\d+) requested and (\d+) written")
"""NumPy's message where a disk is full; it has no error number."""
_EXPECTED = (OSError, ValueError, TypeError, SyntaxError)
"""What parsers raise on purpose, with a message made to be read; pyarrow's and json's errors are ValueErrors."""

_URL = re.compile(r"([a-z][a-z0-9+]+):/{1,2}(?!/)(.+)")
_DEVICES = (Path("/dev"), Path("/dev/fd"))

LOCK_FILE = ".lock"
LOCK_WAIT_S = 10.0
"""A process that was killed, and its children that hold its lock too, are gone sooner."""
_POLL_S = 0.1


def cache_folder() -> Path:
    """Returns the folder of what can be fetched or made again: $PERCEPTION_CACHE, else ~/.cache/frozen-perception."""
    return Path(os.environ.get("PERCEPTION_CACHE") or Path.home() / ".cache" / "frozen-perception").expanduser()


def url_of(path: Path) -> str | None:
    """Returns the URL that a path stands for, such as s3://bucket/store; None for a path on this machine.

    A `Path` keeps only one of the two slashes.
    """
    found = _URL.fullmatch(str(path))
    if found is None:
        return None
    scheme, place = found.groups()
    return f"file:///{place}" if scheme == "file" else f"{scheme}://{place}"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Replaces a file in one step: readers find the new content or the former file, never a part.

    Yields a path in the same folder, which is made where it does not exist. The block writes the file there; when the
    block ends, the file is flushed to the disk and renamed to `path`. If the block raises, or is interrupted, `path`
    stays as it was and the temporary file is removed; only a killed process leaves it behind, under a hidden name. Of
    two writers at the same time, the one that ends last wins. Pipes and devices such as /dev/stdout are written to.

    Raises:
        InputError: The file cannot be written. Any OSError in the block counts as this, so the block should only write.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}"
    with writing(path):
        if path.parent in _DEVICES or path.is_char_device() or path.is_fifo():
            yield path  # a rename would put a file in the place of /dev/null, for everybody
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            flush_to_disk(temporary)
            temporary.replace(path)
            flush_to_disk(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError in the block into an InputError: which file or folder, what happened, what to do about it."""
    try:
        yield
    except OSError as error:
        cut_off = error.errno is None and _CUT_OFF.fullmatch(str(error))
        cure = _FREE_SPACE if cut_off else _CURES.get(error.errno or 0, "choose another path")
        raise InputError(f"{path}: cannot be written ({_reason(error, path)}); {cure}") from error


@contextmanager
def reading(path: Path, cure: str, kind: type[InputError] = InputError) -> Iterator[None]:
    """Turns whatever a parser raises on a missing, truncated or malformed file into an error that names the file.

    Parsers of damaged files raise almost anything: a KeyError for a missing key or column, an AttributeError where a
    list stands for a table, an OverflowError, a RecursionError, a MemoryError for a size that is made up. So all of
    them count, and the block should do nothing but read and interpret the file. The error keeps its cause.

    Args:
        path: The file or folder to name.
        cure: What to do about it.
        kind: Class of the error; it is called with the message alone.

    Raises:
        InputError: The block raised an exception. One of class `kind` passes unchanged.
    """
    try:
        yield
    except kind:
        raise
    except InputError as error:
        names_it = path.name in str(error)
        raise kind(str(error) if names_it else f"{path}: {error}; {cure}") from error
    except FileNotFoundError as error:
        raise kind(f"{path}: no such file; {cure}") from error
    except KeyError as error:
        raise kind(f"{path}: it lacks {error}; {cure}") from error
    except MemoryError as error:
        raise kind(f"{path}: reading it needs more memory than there is; {cure}") from error
    except Exception as error:
        words = str(error).strip().partition("\n")[0][:300]
        name = type(error).__name__
        reason = words if words and isinstance(error, _EXPECTED) else f"{name}: {words}" if words else name
        raise kind(f"{path}: it cannot be parsed ({reason}); {cure}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of a library in Rust; pyo3 derives it from BaseException
            raise
        raise kind(f"{path}: it cannot be parsed (its reader failed: {str(error)[:300]}); {cure}") from error


@contextmanager
def alone_in(folder: Path, doing: str) -> Iterator[int]:
    """Holds a folder for one writer; yields the file descriptor that holds it.

    The lock goes with the process, however that ends. A child process that keeps the descriptor open holds the folder
    too, so that nobody goes on with work that is not at an end.

    Args:
        folder: Folder, which is made where it does not exist.
        doing: What the holder does, for the message that another process gets: "a training run".

    Raises:
        InputError: Another process holds the folder, or it cannot be written to.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK_FILE).open("a+")
    with file:
        deadline = time.monotonic() + LOCK_WAIT_S
        while not _locked(file.fileno(), folder):
            if time.monotonic() > deadline:
                file.seek(0)
                holder = file.read(200).strip() or "another process"
                raise InputError(
                    f"{folder}: expected no other writer, found {holder} at work there; wait until it has ended, or "
                    "choose another folder"
                )
            time.sleep(_POLL_S)
        with writing(folder):
            file.truncate(0)
            os.write(file.fileno(), f"{doing} (process {os.getpid()})".encode())  # no buffer that closing would flush
        yield file.fileno()


def _locked(descriptor: int, folder: Path) -> bool:
    with writing(folder):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def flush_to_disk(path: Path) -> None:
    """Flushes a file, or the names in a folder.

    Without this, a power cut soon after a rename can leave an empty file under the new name, or undo the rename.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError, path: Path) -> str:
    """What the system says, with the file that it says it of where that is not `path` or a temporary file beside it."""
    words = error.strerror or str(error) or type(error).__name__
    if error.errno is None and (cut_off := _CUT_OFF.fullmatch(words)):
        return f"only {cut_off[2]} of {cut_off[1]} values fit on the disk"
    elsewhere = error.filename is not None and Path(str(error.filename)).parent != path.parent
    return f"{words}: {error.filename}" if elsewhere else words
