"""Reader of nuScenes tracks at 10 Hz with their lanes: tracks.parquet, map.parquet and scenes.json in one folder.

Caesar et al., nuScenes: A Multimodal Dataset for Autonomous Driving, CVPR 2020, as ScenarioNet
(https://arxiv.org/abs/2306.12241) gives it: states between the labels at 2 Hz are interpolated, so that accelerations
mean nothing. nuScenes has no forecasting records of this kind; here a window of 11 s begins every second, the ego is
the focal agent, and road users that are annotated from the present on are scored, as in sensor logs of Argoverse 2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import ROAD_USERS, AgentKind, AgentTracks, MapPolylines, PolylineKind, Scenario
from perception_datasets.argoverse.argoverse2 import FUTURE_STEPS, HISTORY_STEPS
from perception_datasets.argoverse.polylines import resample
from perception_datasets.argoverse.remembered import remembered
from perception_datasets.argoverse.table_files import (
    METRES,
    METRES_PER_S,
    RADIANS,
    TEXT,
    Column,
    check_file_size,
    read_parquet,
)
from perception_datasets.argoverse.track_tables import encode, first_rows, observed, spread
from perception_datasets.errors import bad_file, reading

TRACKS, MAP, SCENES = "tracks.parquet", "map.parquet", "scenes.json"
EGO = "ego"
STRIDE_STEPS = 10
"""Steps between the starts of two windows."""
CURE = "write the folder again"
_MAX_STEPS = 100_000
_LANE = "LANE_SURFACE_STREET"
_COLUMNS = {
    **dict.fromkeys(("scene", "track", "type"), TEXT),
    "step": Column(pa.int64(), 0.0, _MAX_STEPS - 1.0),
    "x": METRES,
    "y": METRES,
    "heading": RADIANS,
    "vx": METRES_PER_S,
    "vy": METRES_PER_S,
}
_STATE = tuple(_COLUMNS)[-5:]
_KINDS = {
    "VEHICLE": AgentKind.VEHICLE,
    "PEDESTRIAN": AgentKind.PEDESTRIAN,
    "CYCLIST": AgentKind.CYCLIST,
    "TRAFFIC_CONE": AgentKind.CONSTRUCTION,
    "TRAFFIC_BARRIER": AgentKind.CONSTRUCTION,
}


@dataclass(frozen=True)
class NuscenesTracksFiles:
    """The windows of a folder's scenes."""

    folder: Path
    source: str = "nuscenes"

    def names(self) -> list[str]:
        """Returns scenes with start steps, such as `scene-0061_000`; a scene that is too short has one name too."""
        return [
            f"{scene}_{start:03d}"
            for scene, steps in read_scenes(self.folder).items()
            for start in range(0, max(1, steps + 1 - HISTORY_STEPS - FUTURE_STEPS), STRIDE_STEPS)
        ]

    def path(self, name: str) -> Path:  # noqa: ARG002
        """Returns the file of the tracks."""
        return self.folder / TRACKS

    def inputs(self, name: str) -> tuple[Path, ...]:  # noqa: ARG002
        """Returns all files: a window is read from each."""
        return tuple(self.folder / file for file in (TRACKS, MAP, SCENES))

    def read(self, name: str) -> Scenario:
        """Reads one window."""
        scene, _, start = name.rpartition("_")
        return read_window(self.folder, scene, int(start))


def find_nuscenes_tracks(folder: Path) -> NuscenesTracksFiles | None:
    """Finds the scenes of a folder; returns None if it does not hold the three files."""
    return NuscenesTracksFiles(folder) if all((folder / name).is_file() for name in (TRACKS, MAP, SCENES)) else None


def read_scenes(folder: Path) -> dict[str, int]:
    """Number of steps of each scene."""
    path = folder / SCENES
    with reading(path, CURE):
        check_file_size(path, CURE)
        found = {str(scene["scene"]): scene["steps"] for scene in json.loads(path.read_text())}
        if not all(isinstance(steps, int) and 0 < steps <= _MAX_STEPS for steps in found.values()):
            raise bad_file(path, f"expected scenes of 1 to {_MAX_STEPS:,} steps, found others", CURE)
        return found


def read_window(folder: Path, scene: str, start: int) -> Scenario:
    """Reads 11 s of a scene from a step on, with the tracks that are seen in them.

    Raises:
        RecordError: A file cannot be read, the scene ends before, or the ego is not seen at the present.
    """
    path, steps = folder / TRACKS, HISTORY_STEPS + FUTURE_STEPS
    with reading(path, CURE):
        table = _tracks(folder).filter(pc.field("scene").cast(pa.string()) == scene)
        names, agent = encode(table["track"])
        step = table["step"].to_numpy()
        if not len(step) or step.max() + 1 < start + steps or EGO not in names:
            last = int(step.max(initial=-1))
            raise bad_file(
                path, f"{scene}: expected {steps} steps from {start} on with the ego, found {last + 1}", CURE
            )
        valid = observed(path, names, agent, step, int(step.max()) + 1)
    grid = spread([table[name].to_numpy() for name in _STATE], agent, step, valid)[:, start : start + steps]
    valid = valid[:, start : start + steps]
    kinds = _kinds_of(table, agent)
    seen = np.flatnonzero(valid.any(axis=1))
    present, focal = HISTORY_STEPS - 1, int(np.flatnonzero(seen == names.index(EGO))[0])
    agents = AgentTracks(
        ids=tuple(names[row] for row in seen),
        kinds=kinds[seen],
        position=grid[seen, :, :2],
        heading=grid[seen, :, 2],
        velocity=grid[seen, :, 3:],
        valid=valid[seen],
        scored=valid[seen, present:].all(axis=1) & np.isin(kinds[seen], ROAD_USERS),
    )
    lanes = MapIndex(_lanes(folder, scene)).near(agents.position, agents.valid, focal, present)
    return Scenario(f"{scene}_{start:03d}", "nuscenes", scene, agents, lanes, HISTORY_STEPS, focal, focal)


@remembered(lambda folder: [folder / TRACKS], results=2)
def _tracks(folder: Path) -> pa.Table:
    return read_parquet(folder / TRACKS, _COLUMNS, CURE)


def _kinds_of(table: pa.Table, agent: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " agents"]:
    types, of_row = encode(table["type"])
    kinds = np.array([_KINDS.get(name, AgentKind.UNKNOWN) for name in types], dtype=np.int64)
    return kinds[of_row[first_rows(agent)]]


@remembered(lambda folder, scene: [folder / MAP], results=16)  # noqa: ARG005
def _lanes(folder: Path, scene: str) -> MapPolylines:
    """Centrelines of a scene's lanes; the file says no more of them."""
    path = folder / MAP
    with reading(path, CURE):
        check_file_size(path, CURE)
        table = pq.read_table(path, columns=["scene", "type", "polyline_x", "polyline_y"])
        table.validate(full=True)
        table = table.filter((pc.field("scene") == scene) & (pc.field("type") == _LANE))
        counts = table["polyline_x"].combine_chunks().value_lengths().to_numpy(zero_copy_only=False)
        x, y = (
            table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False) for name in table.column_names[2:]
        )
        if len(x) != len(y) or len(x) != counts.sum() or not (np.abs([x, y]) <= METRES.high).all():
            raise bad_file(path, f"{scene}: expected as many finite x as y of each lane, found others", CURE)
    long_enough = counts >= 2
    kept = np.repeat(long_enough, counts)
    return _as_polylines(np.stack([x, y], axis=-1)[kept], counts[long_enough])


def _as_polylines(vertices: Float[np.ndarray, "vertices 2"], counts: Int[np.ndarray, " lanes"]) -> MapPolylines:
    count = len(counts)
    nothing = np.zeros(count, np.int64)
    return MapPolylines(
        ids=np.arange(count),
        points=resample(vertices, counts) if count else np.zeros((0, 10, 2)),
        kinds=nothing + PolylineKind.VEHICLE_LANE,
        turns=nothing,
        is_intersection=np.zeros(count, bool),
        has_traffic_control=np.zeros(count, bool),
    )
