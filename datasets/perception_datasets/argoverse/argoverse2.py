"""Reader of Argoverse 2 motion forecasting: one folder per scenario, 5 s observed and 6 s to forecast at 10 Hz.

Wilson et al., Argoverse 2: Next Generation Datasets for Self-Driving Perception and Forecasting, NeurIPS 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from perception.traffic.map_index import MAP_RADIUS_M
from perception.traffic.scenario import AgentKind, AgentTracks, Scenario
from perception_datasets.argoverse.argoverse2_map import read_map
from perception_datasets.argoverse.table_files import METRES, METRES_PER_S, RADIANS, TEXT, Column, read_parquet
from perception_datasets.argoverse.track_tables import encode, first_rows, observed, spread, the_only
from perception_datasets.errors import bad_file, reading
from perception_datasets.folders import find_records, is_synthetic, record_folders

HISTORY_STEPS = 50
FUTURE_STEPS = 60
EGO_ID = "AV"

CURE = "extract the scenario's folder again from Argoverse 2's archive"

_SCORED_CATEGORIES = (2, 3)  # av2's TrackCategory: SCORED_TRACK, FOCAL_TRACK
_COLUMNS = {
    **dict.fromkeys(("track_id", "object_type", "focal_track_id", "city"), TEXT),
    "object_category": Column(pa.int64(), 0.0, 3.0),
    "timestep": Column(pa.int64(), 0.0, HISTORY_STEPS + FUTURE_STEPS - 1.0),
    "position_x": METRES,
    "position_y": METRES,
    "heading": RADIANS,
    "velocity_x": METRES_PER_S,
    "velocity_y": METRES_PER_S,
}
_STATE = tuple(_COLUMNS)[-5:]
_KINDS = {kind.name.lower(): kind for kind in AgentKind}


@dataclass(frozen=True)
class Argoverse2Files:
    """Scenario folders of one split."""

    folder: Path
    source: str

    def names(self) -> list[str]:
        """Returns the scenario ids in alphabetical order."""
        return record_folders(self.folder)

    def path(self, name: str) -> Path:
        """Returns the path of a scenario's tracks."""
        return self.folder / name / f"scenario_{name}.parquet"

    def inputs(self, name: str) -> tuple[Path, ...]:
        """Returns the scenario's folder."""
        return (self.folder / name,)

    def read(self, name: str) -> Scenario:
        """Reads one scenario."""
        return read_argoverse2(self.folder / name, source=self.source)


def find_argoverse2(folder: Path) -> Argoverse2Files | None:
    """Finds the scenarios in the folder of a split; returns None if it is not laid out like one of Argoverse 2."""
    if find_records((folder,), "scenario_{name}.parquet") is None:
        return None
    return Argoverse2Files(folder, "synthetic" if is_synthetic(folder) else "argoverse2")


def read_argoverse2(folder: Path, *, source: str = "argoverse2", map_radius_m: float = MAP_RADIUS_M) -> Scenario:
    """Reads one scenario from the folder that is named after it.

    Agents are in alphabetical order of their ids, as in av2's loader. Positions, headings and velocities are the stored
    ones.
    """
    name = folder.name
    path = folder / f"scenario_{name}.parquet"
    with reading(path, CURE):
        table = read_parquet(path, _COLUMNS, CURE)
        agents, focal, steps = _read_tracks(path, table)
        city = the_only(path, table, "city", CURE)
    ego = agents.ids.index(EGO_ID) if EGO_ID in agents.ids else None
    city_map = read_map(folder / f"log_map_archive_{name}.json")
    near = city_map.near(agents.position, agents.valid, focal, HISTORY_STEPS - 1, map_radius_m)
    return Scenario(name, source, city, agents, near, min(HISTORY_STEPS, steps), focal, ego)


def _read_tracks(path: Path, table: pa.Table) -> tuple[AgentTracks, int, int]:
    """Returns the tracks, the focal agent's index and the number of steps: 110, or 50 in a test split."""
    ids, agent = encode(table["track_id"])
    step = table["timestep"].to_numpy()
    focal_id = the_only(path, table, "focal_track_id", CURE)
    if focal_id not in ids:
        reason = f"column track_id: expected the track {focal_id}, which focal_track_id names, found {len(ids)} others"
        raise bad_file(path, reason, CURE)

    steps = HISTORY_STEPS if step.max() < HISTORY_STEPS else HISTORY_STEPS + FUTURE_STEPS
    valid = observed(path, ids, agent, step, steps)
    state = spread([table[column].to_numpy() for column in _STATE], agent, step, valid)
    types, type_of_row = encode(table["object_type"])
    unknown = [word for word in types if word.lower() not in _KINDS]
    if unknown:
        reason = f"column object_type: expected one of {', '.join(_KINDS)}, found {unknown[0]!r}"
        raise bad_file(path, reason, CURE)
    kinds = np.array([_KINDS[word.lower()] for word in types])
    first_row = first_rows(agent)
    category = table["object_category"].to_numpy()[first_row]
    agents = AgentTracks(
        ids=tuple(ids),
        kinds=kinds[type_of_row[first_row]],
        position=state[..., :2],
        heading=state[..., 2],
        velocity=state[..., 3:],
        valid=valid,
        scored=np.isin(category, _SCORED_CATEGORIES),
    )
    return agents, ids.index(focal_id), steps
