"""Reader of Argoverse 1 motion forecasting: one CSV file per scene, 2 s observed and 3 s to forecast at 10 Hz.

Chang et al., Argoverse: 3D Tracking and Forecasting with Rich Maps, CVPR 2019.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from perception.errors import InputError
from perception.traffic.map_index import MAP_RADIUS_M, last_seen
from perception.traffic.motion import causal_heading, causal_velocity
from perception.traffic.scenario import AgentKind, AgentTracks, MapPolylines, Scenario
from perception_datasets.argoverse.argoverse1_map import MAP_CURE, MAP_FILES, read_city_map
from perception_datasets.argoverse.polylines import lane_heading
from perception_datasets.argoverse.table_files import METRES, TEXT, Column, read_csv
from perception_datasets.argoverse.track_tables import encode, observed, spread, the_only
from perception_datasets.errors import bad_file, reading

HISTORY_STEPS = 20
FUTURE_STEPS = 30
CURE = "extract the file again from Argoverse 1's forecasting archive"

# The heading of a car that stands still during the whole history is that of the nearest lane within this distance: half
# a lane width (1.9 m) plus the noise of map and track, so that cars parked at the kerb are included.
_LANE_HEADING_WITHIN_M = 3.5

_COLUMNS = {
    "TIMESTAMP": Column(pa.float64(), 0.0, 1e11),
    "TRACK_ID": TEXT,
    "OBJECT_TYPE": TEXT,
    "X": METRES,
    "Y": METRES,
    "CITY_NAME": TEXT,
}


@dataclass(frozen=True)
class Argoverse1Files:
    """CSV files of one split, and the folder of the city maps."""

    data: Path
    maps: Path
    source: str = "argoverse1"

    def names(self) -> list[str]:
        """Returns the sequence numbers in numerical order."""
        names = [name[:-4] for name in os.listdir(self.data) if name.endswith(".csv")]
        return sorted(names, key=lambda name: (len(name), name))

    def path(self, name: str) -> Path:
        """Returns the path of a scene's CSV file."""
        return self.data / f"{name}.csv"

    def inputs(self, name: str) -> tuple[Path, ...]:
        """Returns the CSV file and the folder of the city maps."""
        return self.path(name), self.maps

    def read(self, name: str) -> Scenario:
        """Reads one scene."""
        return read_argoverse1(self.path(name), self.maps)


def find_argoverse1(folder: Path) -> Argoverse1Files | None:
    """Finds the scenes in the folder of a split; returns None if it is not laid out like one of Argoverse 1.

    CSV files are in data in the folder, or directly in it. The maps are in map_files in the folder, in its parent or in
    that one's parent.

    Raises:
        InputError: There are scenes but no maps.
    """
    data = next((place for place in (folder / "data", folder) if any(place.glob("*.csv"))), None)
    if data is None:
        return None
    absolute = Path(os.path.abspath(folder))
    candidates = [place / "map_files" for place in (absolute, *absolute.parents[:2])]
    maps = next((c for c in candidates if any((c / name).is_file() for name in MAP_FILES.values())), None)
    if maps is None:
        searched = ", ".join(map(str, candidates))
        raise InputError(
            f"{folder}: expected Argoverse 1's vector maps ({', '.join(MAP_FILES.values())}) in one of {searched}, "
            f"found none; {MAP_CURE}"
        )
    return Argoverse1Files(data, maps)


def read_argoverse1(path: Path, maps: Path, *, map_radius_m: float = MAP_RADIUS_M) -> Scenario:
    """Reads one scene from its CSV file and the folder with the vector maps of both cities.

    Row 0 is the AGENT, row 1 the AV if there is one; the OTHERS follow in the order of their ids. Steps are the ranks
    of the time stamps, because their intervals vary between 0.02 and 0.5 s around the nominal 0.1 s.
    """
    with reading(path, CURE):
        table = read_csv(path, _COLUMNS, CURE)
        ids, agent_of_row, ego = _order_tracks(path, table)
        times, step_of_row = np.unique(table["TIMESTAMP"].to_numpy(), return_inverse=True)
        if len(times) not in (HISTORY_STEPS, HISTORY_STEPS + FUTURE_STEPS):
            reason = f"expected 50 time stamps (20 in a test split), found {len(times)}"
            raise bad_file(path, reason, CURE)
        valid = observed(path, ids, agent_of_row, step_of_row, len(times))
        position = spread([table["X"].to_numpy(), table["Y"].to_numpy()], agent_of_row, step_of_row, valid)
        city = the_only(path, table, "CITY_NAME", CURE)
        if city not in MAP_FILES:
            raise bad_file(path, f"expected CITY_NAME in {sorted(MAP_FILES)}, found {city!r}", CURE)
    city_map = read_city_map(maps, city)

    present = HISTORY_STEPS - 1
    near = city_map.near(position, valid, 0, present, map_radius_m)
    agents = AgentTracks(
        ids=tuple(ids),
        kinds=np.array([AgentKind.VEHICLE if a in (0, ego) else AgentKind.UNKNOWN for a in range(len(ids))]),
        position=position,
        heading=estimate_heading(position, valid, near, present),
        velocity=causal_velocity(position, valid, present),
        valid=valid,
        scored=_scored(valid),
    )
    return Scenario(path.stem, "argoverse1", city, agents, near, HISTORY_STEPS, focal=0, ego=ego)


def _order_tracks(path: Path, table: pa.Table) -> tuple[list[str], Int[np.ndarray, " rows"], int | None]:
    """Returns track ids with the AGENT first and the AV second, the track of each row, and the AV's index."""
    names, of_row = encode(table["TRACK_ID"])
    types, type_of_row = encode(table["OBJECT_TYPE"])

    def tracks_of(object_type: str) -> list[int]:
        if object_type not in types:
            return []
        return np.unique(of_row[type_of_row == types.index(object_type)]).tolist()

    focal, ego = tracks_of("AGENT"), tracks_of("AV")
    if len(focal) != 1:
        raise bad_file(path, f"expected one track of OBJECT_TYPE AGENT, found {len(focal)}", CURE)
    if len(ego) > 1:
        raise bad_file(path, f"expected at most one track of OBJECT_TYPE AV, found {len(ego)}", CURE)
    order = [*focal, *ego, *sorted(set(range(len(names))) - {*focal, *ego})]
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return [names[track] for track in order], place[of_row], 1 if ego else None


def _scored(valid: Bool[np.ndarray, "agents steps"]) -> Bool[np.ndarray, " agents"]:
    """Returns which agents are scored: those with a complete future; in a test split, which has none, the AGENT."""
    if valid.shape[1] == HISTORY_STEPS:
        return np.arange(len(valid)) == 0
    return np.all(valid[:, HISTORY_STEPS - 1 :], axis=1)


def estimate_heading(
    position: Float[np.ndarray, "agents steps 2"],
    valid: Bool[np.ndarray, "agents steps"],
    lanes: MapPolylines,
    present: int,
) -> Float[np.ndarray, "agents steps"]:
    """Returns headings from motion, or from the lane under the last observed position of an agent that stands still."""
    heading, known = causal_heading(position, valid, present)
    unknown = valid & ~known
    rows = np.flatnonzero(unknown.any(axis=1) & valid[:, : present + 1].any(axis=1))
    lane, found = lane_heading(position[rows, last_seen(valid[rows], present)], lanes, _LANE_HEADING_WITHIN_M)
    rows, lane = rows[found], lane[found]
    heading[rows] = np.where(unknown[rows], lane[:, None], heading[rows])
    return heading
