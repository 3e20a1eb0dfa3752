"""Reads a map from whatever form it has, by the form's own reader."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from perception.errors import InputError
from perception.files import reading
from perception.traffic.map_index import MapIndex
from perception_tools.extras import missing_extra

if TYPE_CHECKING:
    from perception_datasets.lanelet2.projection import Projector

Coordinates = Literal["auto", "tags", "mgrs", "utm", "local_cartesian", "transverse_mercator"]
LANELET_MAP_BIN = "autoware_map_msgs/msg/LaneletMapBin"
OF_AUTOWARE = "lanelet2_map.osm"
"""Name of the map in a folder of Autoware's."""
_CURE = "give NAME.osm or NAME.bin (lanelet2), NAME.xml or NAME.json (Argoverse), NAME.cdr, or a recording with a map"


@dataclass(frozen=True)
class FoundMap:
    """A map that was read.

    Attributes:
        index: Lanes and crosswalks.
        name: Name of the city, or of the file.
        coordinates: Where the coordinates come from, in words.
        left_out: Number of elements of each kind that have no counterpart here.
    """

    index: MapIndex
    name: str
    coordinates: str = "the map's own frame"
    left_out: Mapping[str, int] = field(default_factory=dict)


def read_source(path: Path, coordinates: Coordinates = "auto", origin: tuple[float, float] | None = None) -> FoundMap:
    """Reads a map.

    Args:
        path: File or folder.
        coordinates: Where the coordinates of a lanelet2 map come from.
        origin: Latitude and longitude of the projection's origin, degrees.

    Raises:
        InputError: The map cannot be read, or options do not fit it.
    """
    if path.is_dir():
        path = _in_folder(path)
    elif not path.exists():
        raise InputError(f"{path}: no such file; {_CURE}")
    suffix = path.suffix
    if suffix not in (".osm", ".xml") and (coordinates != "auto" or origin is not None):
        raise InputError(
            f"{path}: expected no --projector and no --origin, since only NAME.osm has degrees; leave them"
        )
    if suffix == ".json":
        from perception_datasets.argoverse.argoverse2_map import read_map

        return FoundMap(read_map(path), path.stem.partition("____")[2].partition("_")[0] or path.stem)
    if suffix == ".xml":
        return _argoverse1(path)
    if suffix == ".osm":
        return _lanelet2(path, coordinates, origin)
    if suffix == ".bin":
        return _binary(path, path.stem)
    if suffix in (".mcap", ".db3", ".cdr") or path.is_dir():
        return _recorded(path)
    raise InputError(f"{path}: the name ends in {suffix or 'nothing'!r}; {_CURE}")


def _in_folder(folder: Path) -> Path:
    """Returns the map of a folder: of Autoware, of an Argoverse 2 log; a recording is its folder."""
    if (folder / "metadata.yaml").exists():
        return folder
    if (folder / OF_AUTOWARE).exists():
        return folder / OF_AUTOWARE
    found = [*folder.glob("log_map_archive_*.json"), *folder.glob("map/log_map_archive_*.json"), *folder.glob("*.osm")]
    if len(found) != 1:
        raise InputError(f"{folder}: expected one map in the folder, found {len(found)}; {_CURE}")
    return found[0]


def _argoverse1(path: Path) -> FoundMap:
    from perception_datasets.argoverse.argoverse1_map import MAP_FILES, read_city_map

    for city, name in MAP_FILES.items():
        if name == path.name:
            return FoundMap(read_city_map(path.parent, city), city)
    names = " or ".join(MAP_FILES.values())
    raise InputError(f"{path}: expected a map of Argoverse 1, {names}, or a lanelet2 map called NAME.osm; rename it")


def _lanelet2(path: Path, coordinates: Coordinates, origin: tuple[float, float] | None) -> FoundMap:
    from perception_datasets.lanelet2.lanes import read_lanelet2

    found = read_lanelet2(path, _projector(coordinates, origin), tags_only=coordinates == "tags")
    name = path.parent.name if path.name == OF_AUTOWARE else path.stem
    return FoundMap(found.index, name, found.frame, found.left_out)


def _projector(coordinates: Coordinates, origin: tuple[float, float] | None) -> Projector | None:
    from perception_datasets.lanelet2.projection import Projector

    if coordinates in ("auto", "tags"):
        if origin is not None:
            raise InputError("--origin: expected a --projector that has one, got none; give it, such as utm")
        return None
    return Projector(coordinates, None if origin is None else (*origin, 0.0))


def _binary(path: Path, name: str) -> FoundMap:
    from perception_datasets.lanelet2.binary import CURE, osm_of_binary
    from perception_datasets.lanelet2.lanes import read_lanelet2

    with tempfile.TemporaryDirectory() as scratch:
        osm = Path(scratch) / f"{name}.osm"
        try:
            osm_of_binary(path, osm)
        except ModuleNotFoundError as error:
            raise InputError(f"{missing_extra(error) or error}; or {CURE}") from error
        found = read_lanelet2(osm)
    return FoundMap(found.index, name, "the map's own frame", found.left_out)


def _recorded(path: Path) -> FoundMap:
    """Reads the map of a recording: a PolylineMap as it is, or a LaneletMapBin by lanelet2 itself."""
    from perception_nodes.recordings.map_file import last_of_type, read_map_file
    from perception_nodes.recordings.reader import topics_in
    from perception_nodes.ros.messages import POLYLINE_MAP, deserialize

    types = {POLYLINE_MAP} if path.suffix == ".cdr" else {topic.type for topic in topics_in(path).values()}
    if POLYLINE_MAP in types:
        lanes, name = read_map_file(path)
        return FoundMap(lanes, name or path.stem)
    if LANELET_MAP_BIN not in types:
        raise InputError(f"{path}: expected a topic of {POLYLINE_MAP} or {LANELET_MAP_BIN}, found none; {_CURE}")
    message = deserialize(last_of_type(path, LANELET_MAP_BIN), LANELET_MAP_BIN)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / f"{path.stem}.bin"
        file.write_bytes(bytes(message.data))
        with reading(path, _CURE):
            return _binary(file, str(message.name_map) or path.stem)
