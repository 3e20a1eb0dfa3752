"""A split of a forecasting data set as a sequence of scenarios, whatever its format on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from perception.traffic.scenario import Scenario
from perception_datasets.errors import RecordError


@runtime_checkable  # the shape checks of the test run look at it
class ScenarioFiles(Protocol):
    """The scenarios of one split on disk, whatever their format."""

    @property
    def source(self) -> str:
        """`Scenario.source` of all of them."""
        ...

    def names(self) -> Sequence[str]:
        """The scenarios' names, in a fixed order."""
        ...

    def path(self, name: str) -> Path:
        """The file that a message about this scenario should name."""
        ...

    def read(self, name: str) -> Scenario:
        """One scenario; RecordError where its files are broken."""
        ...


@dataclass(frozen=True)
class ScenarioFolder:
    """A split as a sequence of scenarios, read from disk one by one as they are asked for.

    It holds names only, so it is cheap to make and to send to DataLoader workers.

    Attributes:
        files: Where and how the scenarios are stored.
        split: The split's name.
        ids: The scenarios' names, in the order of the sequence.
    """

    files: ScenarioFiles
    split: str
    ids: Sequence[str]

    @property
    def source(self) -> str:
        """`argoverse1`, `argoverse2`, `argoverse2-sensor` or `synthetic`."""
        return self.files.source

    @property
    def paths(self) -> list[Path]:
        """The file of each scenario."""
        return [self.files.path(name) for name in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Scenario:
        """One scenario; RecordError names the file where it cannot be read."""
        return self.files.read(self.ids[index])

    def __iter__(self) -> Iterator[Scenario]:
        """All scenarios in order; the first broken one ends it with its RecordError (`read_all` goes on)."""
        return (self[index] for index in range(len(self)))

    def read_all(self, on_error: Callable[[str, RecordError], None]) -> Iterator[Scenario]:
        """Every scenario that can be read, in order; the others are handed to `on_error` (say, `Failures().add`)."""
        for _, scenario in self.read_named(on_error):
            yield scenario

    def read_named(self, on_error: Callable[[str, RecordError], None]) -> Iterator[tuple[str, Scenario]]:
        """As `read_all`, with the names."""
        for name in self.ids:
            try:
                scenario = self.files.read(name)
            except RecordError as error:
                on_error(name, error)
            else:
                yield name, scenario
