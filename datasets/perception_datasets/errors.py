"""Records of a data set that cannot be read: named, with the reason and the cure, so that the rest can go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from perception.errors import InputError


class RecordError(InputError):
    """A file of a data set that cannot be used.

    It is built from one string, so that it crosses process borders (DataLoader workers) unchanged.
    """


def bad_file(path: Path, reason: str, cure: str) -> RecordError:
    """The error to raise for a file: where, what was expected and found, what to do."""
    return RecordError(f"{path}: {reason}; {cure}")


@contextmanager
def reading(path: Path, cure: str) -> Iterator[None]:
    """Turns what parsers raise on a missing, truncated or malformed file into a RecordError that names the file.

    KeyError is among them: for a JSON or table reader it means that the file lacks something it must have.
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
    """The scenarios (or other records) that could not be read, by name, with the reason."""

    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, error: RecordError) -> None:
        """Remembers one."""
        self.reasons[name] = str(error)

    def __len__(self) -> int:
        return len(self.reasons)

    def report(self, of: int, noun: str = "scenarios") -> str:
        """What to print at the end: the count, then each name with its reason."""
        lines = [f"{len(self)} of {of} {noun} could not be read"]
        return "\n".join([*lines, *(f"  {name}: {reason}" for name, reason in self.reasons.items())])
