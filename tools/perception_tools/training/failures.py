"""What ends a training run and its user can change, in a sentence."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from perception.errors import InputError
from perception.files import writing

CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Reading never ends in one of these."""


@contextmanager
def in_plain_words(out: Path) -> Iterator[None]:
    """Says in a sentence what a user can change: a full disk, too little memory, what a reading process complains of.

    Loggers write whenever they like, deep within Lightning; so their errors are recognised by what they say.
    """
    former_hook = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not _is_of_writing(args.exc_value, out):  # TensorBoard's thread: its writer raises the same again
            former_hook(args)

    threading.excepthook = hook
    try:
        yield
    except OSError as error:
        if not _is_of_writing(error, out):
            raise
        with writing(out):
            raise
    except InputError as error:
        if "\nOriginal Traceback" not in str(error):  # which a DataLoader puts into errors of its processes
            raise
        raise InputError(str(error).strip().splitlines()[-1].partition(": ")[2]) from error
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        reason = (str(error).strip().splitlines() or ["no more is known"])[0].rpartition("DefaultCPUAllocator: ")[2]
        raise InputError(
            f"{out}: the model and its steps need more memory than there is ({reason}); make the model smaller, "
            "or compute a step in more parts (--accumulate)"
        ) from error
    finally:
        threading.excepthook = former_hook


def _is_of_writing(error: BaseException | None, out: Path) -> bool:
    """Whether an error is one of writing into a folder, or to a disk."""
    if not isinstance(error, OSError):
        return False
    named = error.filename is not None and Path(str(error.filename)).resolve().is_relative_to(out.resolve())
    return named or error.errno in CANNOT_WRITE
