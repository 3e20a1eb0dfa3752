"""The front door to forecasting data: a folder, recognised by its layout, becomes a sequence of scenarios."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from perception.errors import InputError
from perception.scenario import Scenario
from perception_datasets.argoverse1 import find_argoverse1
from perception_datasets.argoverse2 import find_argoverse2
from perception_datasets.argoverse2_sensor import find_argoverse2_sensor
from perception_datasets.errors import ScenarioError

LAYOUTS = """\
  Argoverse 1         {split}/data/*.csv, with map_files/pruned_argoverse_*_vector_map.xml in the folder or beside it
  Argoverse 2         {split}/<id>/scenario_<id>.parquet with log_map_archive_<id>.json, or the <id> folders alone
  Argoverse 2 sensor  [{split}/]<log>/annotations.feather with city_SE3_egovehicle.feather and map/
  prepared store      what `perception prepare forecasting` writes"""


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
        """One scenario; ScenarioError where its files are broken."""
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
        """One scenario; ScenarioError names the file where it cannot be read."""
        return self.files.read(self.ids[index])

    def read_all(self, on_error: Callable[[str, ScenarioError], None]) -> Iterator[Scenario]:
        """Every scenario that can be read, in order; the others are handed to `on_error` (say, `Failures().add`)."""
        for name in self.ids:
            try:
                scenario = self.files.read(name)
            except ScenarioError as error:
                on_error(name, error)
            else:
                yield scenario


@dataclass
class Failures:
    """The scenarios that could not be read, by name, with the reason."""

    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, error: ScenarioError) -> None:
        """Remembers one."""
        self.reasons[name] = str(error)

    def __len__(self) -> int:
        return len(self.reasons)

    def report(self, of: int) -> str:
        """What to print at the end: the count, then each name with its reason."""
        lines = [f"{len(self)} of {of} scenarios could not be read"]
        return "\n".join([*lines, *(f"  {name}: {reason}" for name, reason in self.reasons.items())])


def open_forecasting(folder: Path, split: str, *, limit: int | None = None) -> ScenarioFolder:
    """The scenarios of a split of a forecasting data set.

    Args:
        folder: The data set's folder: Argoverse 1, Argoverse 2 (recorded, or made by `perception sample`), Argoverse 2
            sensor logs, or a prepared store.
        split: `train`, `val` or `test`. A folder that holds scenarios without a split level gives all of them for
            every split.
        limit: Only the first so many.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder with forecasting data, found none; check the path")
    for find in (find_argoverse1, find_argoverse2, find_argoverse2_sensor):
        files = find(folder, split)
        if files is not None:
            names = files.names()
            return ScenarioFolder(files, split, names if limit is None else names[:limit])
    raise InputError(
        f"{folder}: expected scenarios of split {split!r} in a known layout, found {_listing(folder)}; give a folder "
        f"with one of\n{LAYOUTS.format(split=split)}"
    )


def _listing(folder: Path) -> str:
    """The first names in a folder, for a message."""
    names = sorted(entry.name for entry in folder.iterdir())
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return f"{len(names)} entries ({shown})" if names else "an empty folder"
