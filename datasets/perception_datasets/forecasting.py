"""Opens forecasting data: detects the format of a folder by its layout."""

from __future__ import annotations

import os
from pathlib import Path

from perception.errors import InputError, first_of
from perception.files import url_of
from perception_datasets.argoverse.argoverse1 import find_argoverse1
from perception_datasets.argoverse.argoverse2 import find_argoverse2
from perception_datasets.argoverse.argoverse2_sensor import find_argoverse2_sensor
from perception_datasets.argoverse.scenario_folder import ScenarioFiles, ScenarioFolder
from perception_datasets.folders import check_split
from perception_datasets.nuscenes_tracks import find_nuscenes_tracks
from perception_datasets.stores.forecasting import find_store
from perception_datasets.stores.remote import download

__all__ = ["LAYOUTS", "ScenarioFolder", "open_forecasting"]

LAYOUTS = """\
  Argoverse 1         {split}/data/*.csv, with map_files/pruned_argoverse_*_vector_map.xml in the folder or above it
  Argoverse 2         {split}/<id>/scenario_<id>.parquet with log_map_archive_<id>.json, or the <id> folders alone
  Argoverse 2 sensor  [{split}/]<log>/annotations.feather with city_SE3_egovehicle.feather and map/
  nuScenes tracks     tracks.parquet, map.parquet and scenes.json
  prepared store      what `perception prepare forecasting` writes"""


SPLITS = ("train", "val", "test")
_FORMATS = (find_argoverse1, find_argoverse2, find_argoverse2_sensor, find_nuscenes_tracks)


def open_forecasting(folder: Path, split: str, *, limit: int | None = None) -> ScenarioFolder:
    """Opens one split of a forecasting data set.

    Args:
        folder: Folder of the data set: Argoverse 1, Argoverse 2 (recorded, or made by `perception sample`), Argoverse 2
            sensor logs, nuScenes tracks, or a prepared store, which may be at a URL that fsspec knows.
        split: `train`, `val` or `test`, or another name that a subfolder has. A folder that holds scenarios without a
            split level returns all of them for the split that its own name says; for any of the three if it says none.
        limit: Maximum number of scenarios; the first ones are kept.

    Raises:
        InputError: The folder does not exist, its layout is not known, or it holds another split.
    """
    url = url_of(folder)
    if url is not None:
        check_split(split)
        folder = download(url, split)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder with forecasting data, found none; check the path")
    if Path(split).name != split or split in ("", ".."):
        raise InputError(f"split {split!r}: expected the name of a folder in {folder}; give train, val or test")
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}: expected at least 1 scenario; leave it out to take all")
    files = find_store(folder, split) or _find(folder / split) or _find(folder / f"{split}_obs")
    if files is None:
        files = _find(folder)
        if files is not None:
            _check_label(folder, split)
    if files is not None:
        names = files.names()
        return ScenarioFolder(files, split, names[:limit])
    raise InputError(
        f"{folder}: expected scenarios of split {split!r} in a known layout, found {_listing(folder)}; give a folder "
        f"with one of\n{LAYOUTS.format(split=split)}"
    )


def _find(folder: Path) -> ScenarioFiles | None:
    """Returns the scenarios in the folder of a split, if it has a known layout."""
    if not folder.is_dir():
        return None
    return next((files for find in _FORMATS if (files := find(folder)) is not None), None)


def _check_label(folder: Path, split: str) -> None:
    """Refuses a split that a folder without a split level cannot be.

    Without this, the scenarios of a training split would be taken for those of any other.
    """
    absolute = Path(os.path.abspath(folder))
    own = absolute.parent.name if absolute.name == "data" else absolute.name
    own = own.removesuffix("_obs")
    if own in SPLITS and own != split:
        raise InputError(
            f"{folder}: expected scenarios of split {split!r}, found the folder of split {own!r}; give the folder "
            f"above it, or name the split {own}"
        )
    if split not in SPLITS:
        raise InputError(
            f"{folder}: expected a folder {split} in it, found scenarios without a split level; name the split train, "
            "val or test"
        )


def _listing(folder: Path) -> str:
    """Returns the number of entries in a folder and the first names, for an error message."""
    names = sorted(entry.name for entry in folder.iterdir())
    shown = first_of(names)
    return f"{len(names)} entries ({shown})" if names else "an empty folder"
