"""Opens forecasting data: detects the format of a folder by its layout."""

from __future__ import annotations

from pathlib import Path

from perception.errors import InputError
from perception_datasets.argoverse.argoverse1 import find_argoverse1
from perception_datasets.argoverse.argoverse2 import find_argoverse2
from perception_datasets.argoverse.argoverse2_sensor import find_argoverse2_sensor
from perception_datasets.argoverse.scenario_folder import ScenarioFolder
from perception_datasets.stores.forecasting import find_store

__all__ = ["LAYOUTS", "ScenarioFolder", "open_forecasting"]

LAYOUTS = """\
  Argoverse 1         {split}/data/*.csv, with map_files/pruned_argoverse_*_vector_map.xml in the folder or beside it
  Argoverse 2         {split}/<id>/scenario_<id>.parquet with log_map_archive_<id>.json, or the <id> folders alone
  Argoverse 2 sensor  [{split}/]<log>/annotations.feather with city_SE3_egovehicle.feather and map/
  prepared store      what `perception prepare forecasting` writes"""


def open_forecasting(folder: Path, split: str, *, limit: int | None = None) -> ScenarioFolder:
    """Opens one split of a forecasting data set.

    Args:
        folder: Folder of the data set: Argoverse 1, Argoverse 2 (recorded, or made by `perception sample`), Argoverse 2
            sensor logs, or a prepared store.
        split: `train`, `val` or `test`. A folder that holds scenarios without a split level returns all of them for
            every split.
        limit: Maximum number of scenarios; the first ones are kept.

    Raises:
        InputError: The folder does not exist, or its layout is not known.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder with forecasting data, found none; check the path")
    for find in (find_store, find_argoverse1, find_argoverse2, find_argoverse2_sensor):
        files = find(folder, split)
        if files is not None:
            names = files.names()
            return ScenarioFolder(files, split, names if limit is None else names[:limit])
    raise InputError(
        f"{folder}: expected scenarios of split {split!r} in a known layout, found {_listing(folder)}; give a folder "
        f"with one of\n{LAYOUTS.format(split=split)}"
    )


def _listing(folder: Path) -> str:
    """Returns the number of entries in a folder and the first names, for an error message."""
    names = sorted(entry.name for entry in folder.iterdir())
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return f"{len(names)} entries ({shown})" if names else "an empty folder"
