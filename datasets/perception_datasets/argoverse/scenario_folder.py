"""A split of a forecasting data set as a sequence of scenarios, independent of the format on disk."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from perception.traffic.scenario import Scenario, UnusableScenario
from perception_datasets.errors import RecordError
from perception_datasets.stores.sources import fingerprint
from perception_datasets.stores.store import StoredSplit


@runtime_checkable  # for the type checks of the test run
class ScenarioFiles(Protocol):
    """Interface of a reader: the scenarios of one split on disk."""

    @property
    def source(self) -> str:
        """`Scenario.source` of all scenarios."""
        ...

    def names(self) -> Sequence[str]:
        """Returns the names of the scenarios in a fixed order."""
        ...

    def path(self, name: str) -> Path:
        """Returns the file to name in a message about a scenario."""
        ...

    def inputs(self, name: str) -> Sequence[Path]:
        """Returns all that a scenario is read from; a folder stands for the files directly in it.

        A prepared store keeps a fingerprint of them, and reads the scenario again when they have changed.
        """
        ...

    def read(self, name: str) -> Scenario:
        """Reads one scenario; raises RecordError if its files are broken."""
        ...


@dataclass(frozen=True)
class ScenarioFolder:
    """A split as a sequence of scenarios, each of which is read from disk when it is accessed.

    It holds names only, so it is cheap to create and to send to DataLoader workers.

    Attributes:
        files: Reader of the scenarios.
        split: Name of the split.
        ids: Names of the scenarios, in the order of the sequence.
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
        """File of each scenario."""
        return [self.files.path(name) for name in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Scenario:
        """Reads one scenario; raises RecordError if it cannot be read, or holds what cannot be."""
        return self._read(self.ids[index])

    def _read(self, name: str) -> Scenario:
        scenario = self.files.read(name)
        try:
            scenario.require_plausible()
        except UnusableScenario as error:
            raise RecordError(f"{self.files.path(name)}: {error}") from error
        return scenario

    def fingerprint(self, index: int) -> str:
        """Returns digits that change with what a scenario is read from: a record of a store, or files."""
        name = self.ids[index]
        if isinstance(self.files, StoredSplit):
            return f"{name} {self.files.digest(name)}"
        return f"{name} {fingerprint(self.files.inputs(name))}"

    def shared_with(self, other: ScenarioFolder) -> list[str]:
        """Returns the names of the scenarios that are in both folders.

        Argoverse 1 numbers the scenes of each split from 1, so there the content must be the same too.
        """
        names = set(other.ids)
        shared = [name for name in self.ids if name in names]
        if "argoverse1" not in (self.source, other.source):
            return shared
        return [name for name in shared if self._same_content(other, name)]

    def reads_the_files_of(self, other: ScenarioFolder) -> bool:
        """Returns whether a scenario of both folders is read from one file."""
        names = set(other.ids)
        return any(_same_file(self.files.path(name), other.files.path(name)) for name in self.ids if name in names)

    def _same_content(self, other: ScenarioFolder, name: str) -> bool:
        paths = self.files.path(name), other.files.path(name)
        if _same_file(*paths):
            return True
        if all(path.is_file() for path in paths):
            return filecmp.cmp(*paths, shallow=False)
        try:
            tracks = self._read(name).agents, other._read(name).agents
        except RecordError:
            return False
        return tracks[0].ids == tracks[1].ids and np.array_equal(tracks[0].position, tracks[1].position)

    def __iter__(self) -> Iterator[Scenario]:
        """Yields all scenarios in order; raises RecordError at the first broken one (`read_all` skips it)."""
        return (self[index] for index in range(len(self)))

    def read_all(self, on_error: Callable[[str, RecordError], None]) -> Iterator[Scenario]:
        """Yields the scenarios that can be read, in order; passes errors to `on_error`, such as `Failures().add`."""
        for _, scenario in self.read_named(on_error):
            yield scenario

    def read_named(self, on_error: Callable[[str, RecordError], None]) -> Iterator[tuple[str, Scenario]]:
        """Yields what `read_all` yields, with the names."""
        for name in self.ids:
            try:
                scenario = self._read(name)
            except RecordError as error:
                on_error(name, error)
            else:
                yield name, scenario


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
