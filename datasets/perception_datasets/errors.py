"""Errors for records that cannot be read: file, reason and cure, so that the other records can still be used."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from perception import files
from perception.errors import InputError


class RecordError(InputError):
    """A file of a data set that cannot be used.

    It takes a single string, so that it can be pickled and raised from a DataLoader worker unchanged.
    """


def bad_file(path: Path, reason: str, cure: str) -> RecordError:
    """Returns the error to raise for a file; `reason` says what was expected and found, `cure` what to do."""
    return RecordError(f"{path}: {reason}; {cure}")


def reading(path: Path, cure: str) -> AbstractContextManager[None]:
    """Turns whatever a parser raises on a bad file into a RecordError that names it (`perception.files.reading`)."""
    return files.reading(path, cure, RecordError)


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
