"""Caches what a reader returned or raised, until its files change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from perception_datasets.errors import RecordError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def remembered(
    files: Callable[Arguments, Iterable[Path]], *, results: int
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorates a reader whose files many records share; a broken file is parsed once, not once for each of them.

    Args:
        files: Returns the files that the reader reads for the same arguments.
        results: Number of results that are kept.
    """

    def decorate(read: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @lru_cache(results)
        def outcome(
            _versions: tuple[tuple[int, int] | None, ...], *args: Arguments.args, **kwargs: Arguments.kwargs
        ) -> Result | RecordError:
            try:
                return read(*args, **kwargs)
            except RecordError as error:
                return RecordError(str(error))

        @wraps(read)
        def remember(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            found = outcome(tuple(map(_version, files(*args, **kwargs))), *args, **kwargs)
            if isinstance(found, RecordError):
                raise RecordError(str(found))
            return found

        return remember

    return decorate


def _version(path: Path) -> tuple[int, int] | None:
    """Time of the last change and size; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
