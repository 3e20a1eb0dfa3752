"""Errors for records that cannot be read: file, reason and cure, so that the other records can still be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from perception.errors import InputError


class RecordError(InputError):
    """A file of a data set that cannot be used.

    It takes a single string, so that it can be pickled and raised from a DataLoader worker unchanged.
    """


def bad_file(path: Path, reason: str, cure: str) -> RecordError:
    """Returns the error to raise for a file; `reason` says what was expected and found, `cure` what to do."""
    return RecordError(f"{path}: {reason}; {cure}")


@contextmanager
def reading(path: Path, cure: str) -> Iterator[None]:
    """Turns what parsers raise on a missing, truncated or malformed file into a RecordError that names the file.

    This includes KeyError: in a JSON or table reader it means that the file lacks a required key or column.
    """
    try:
        yield
    except RecordError:
        raise
    except FileNotFoundError as error:
        raise bad_file(path, "no such file", cure) from error
    except KeyError as error:
        raise bad_file(path, f"it lacks {error}", cure) from error
    except (OSError, ValueError, TypeError, SyntaxError) as error:  # pyarrow's and json's errors are ValueErrors
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        raise bad_file(path, f"it cannot be parsed ({first_line})", cure) from error


@dataclass
class Failures:
    """Records that could not be read: the reason for each, by the record's name."""

    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, error: RecordError) -> None:
        """Adds a record that could not be read."""
        self.reasons[name] = str(error)

    def __len__(self) -> int:
        return len(self.reasons)

    def report(self, of: int, noun: str = "scenarios") -> str:
        """Returns a summary to print: the count out of `of` records, then each name with its reason."""
        lines = [f"{len(self)} of {of} {noun} could not be read"]
        return "\n".join([*lines, *(f"  {name}: {reason}" for name, reason in self.reasons.items())])
