"""Reader of Argoverse 2 motion forecasting: one folder per scenario, 5 s observed and 6 s to forecast at 10 Hz.

Wilson et al., Argoverse 2: Next Generation Datasets for Self-Driving Perception and Forecasting, NeurIPS 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perception.traffic.map_index import MAP_RADIUS_M
from perception.traffic.scenario import AgentKind, AgentTracks, Scenario
from perception_datasets.argoverse.argoverse2_map import read_map
from perception_datasets.argoverse.track_tables import check_columns, encode, observed, spread
from perception_datasets.errors import bad_file, reading
from perception_datasets.folders import find_records, is_synthetic, record_folders

HISTORY_STEPS = 50
FUTURE_STEPS = 60
EGO_ID = "AV"

CURE = "extract the scenario's folder again from Argoverse 2's archive"

_SCORED_CATEGORIES = (2, 3)  # av2's TrackCategory: SCORED_TRACK, FOCAL_TRACK
_STATE = ("position_x", "position_y", "heading", "velocity_x", "velocity_y")
_TEXTS = ("track_id", "object_type", "focal_track_id", "city")
_COLUMNS = {
    **dict.fromkeys(_TEXTS, pa.string()),
    "object_category": pa.int64(),
    "timestep": pa.int64(),
    **dict.fromkeys(_STATE, pa.float64()),
}


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

    def read(self, name: str) -> Scenario:
        """Reads one scenario."""
        return read_argoverse2(self.folder / name, source=self.source)


def find_argoverse2(folder: Path, split: str) -> Argoverse2Files | None:
    """Finds the scenarios of a split; returns None if the folder is not laid out like Argoverse 2's."""
    root = find_records((folder / split, folder), "scenario_{name}.parquet")
    if root is None:
        return None
    return Argoverse2Files(root, "synthetic" if is_synthetic(root) else "argoverse2")


def read_argoverse2(folder: Path, *, source: str = "argoverse2", map_radius_m: float = MAP_RADIUS_M) -> Scenario:
    """Reads one scenario from the folder that is named after it.

    Agents are in alphabetical order of their ids, as in av2's loader. Positions, headings and velocities are the stored
    ones.
    """
    name = folder.name
    path = folder / f"scenario_{name}.parquet"
    with reading(path, CURE):
        table = pq.ParquetFile(path, read_dictionary=list(_TEXTS)).read(list(_COLUMNS), use_threads=False)
        check_columns(path, table, _COLUMNS, CURE)
        agents, focal, steps = _read_tracks(path, table)
        city = table["city"][0].as_py()
    ego = agents.ids.index(EGO_ID) if EGO_ID in agents.ids else None
    city_map = read_map(folder / f"log_map_archive_{name}.json")
    near = city_map.near(agents.position, agents.valid, focal, HISTORY_STEPS - 1, map_radius_m)
    return Scenario(name, source, city, agents, near, min(HISTORY_STEPS, steps), focal, ego)


def _read_tracks(path: Path, table: pa.Table) -> tuple[AgentTracks, int, int]:
    """Returns the tracks, the focal agent's index and the number of steps: 110, or 50 in a test split."""
    ids, agent = encode(table["track_id"])
    step = table["timestep"].to_numpy()
    if step.min() < 0 or step.max() >= HISTORY_STEPS + FUTURE_STEPS:
        raise bad_file(path, f"expected timesteps from 0 to 109, found {step.min()} to {step.max()}", CURE)
    focal_id = table["focal_track_id"][0].as_py()
    if focal_id not in ids:
        raise bad_file(path, f"expected the track {focal_id} (focal_track_id), found {len(ids)} others", CURE)

    steps = HISTORY_STEPS if step.max() < HISTORY_STEPS else HISTORY_STEPS + FUTURE_STEPS
    valid = observed(path, ids, agent, step, steps)
    state = spread([table[column].to_numpy() for column in _STATE], agent, step, valid)
    types, type_of_row = encode(table["object_type"])
    kinds = np.array([AgentKind[word.upper()] for word in types])
    first_row = np.unique(agent, return_index=True)[1]
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
