"""Argoverse 2 sensor logs as forecasting scenarios: windows of 5 s history and 6 s future over the annotated tracks.

Boxes are annotated in the moving ego frame at the LiDAR's 10 Hz; the ego poses take them to the city frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as feather
from jaxtyping import Bool, Float, Int

from perception.traffic.map_index import MAP_RADIUS_M, MapIndex
from perception.traffic.motion import causal_velocity
from perception.traffic.scenario import ROAD_USERS, AgentKind, AgentTracks, Scenario
from perception_datasets.argoverse.argoverse2 import EGO_ID, FUTURE_STEPS, HISTORY_STEPS
from perception_datasets.argoverse.argoverse2_map import read_map
from perception_datasets.argoverse.track_tables import check_columns, encode, observed, spread
from perception_datasets.errors import RecordError, bad_file, reading
from perception_datasets.folders import find_records, record_folders

WINDOW_STEPS = HISTORY_STEPS + FUTURE_STEPS
CURE = "take the log again from Argoverse 2's sensor archive"

_ANNOTATIONS = ("annotations_with_ego.feather", "annotations.feather")
_POSES = "city_SE3_egovehicle.feather"
_EGO_CATEGORY = "EGO_VEHICLE"
EGO_SIZE_M = (4.877, 2.0, 1.473)
"""As the logs that list the ego among the boxes say."""
_NS_PER_STEP = 100_000_000

_POSE = ("tx_m", "ty_m", "tz_m", "qw", "qx", "qy", "qz")
_POSE_COLUMNS = {"timestamp_ns": pa.int64(), **dict.fromkeys(_POSE, pa.float64())}
_SIZE = ("length_m", "width_m", "height_m")
_BOX_COLUMNS = {
    "track_uuid": pa.string(),
    "category": pa.string(),
    **_POSE_COLUMNS,
    **dict.fromkeys(_SIZE, pa.float64()),
}

_KIND_CATEGORIES = {
    AgentKind.VEHICLE: "REGULAR_VEHICLE LARGE_VEHICLE BOX_TRUCK TRUCK TRUCK_CAB VEHICULAR_TRAILER RAILED_VEHICLE",
    AgentKind.BUS: "BUS SCHOOL_BUS ARTICULATED_BUS",
    AgentKind.PEDESTRIAN: "PEDESTRIAN OFFICIAL_SIGNALER STROLLER WHEELCHAIR",
    AgentKind.CYCLIST: "BICYCLIST WHEELED_RIDER",
    AgentKind.MOTORCYCLIST: "MOTORCYCLIST",
    AgentKind.RIDERLESS_BICYCLE: "BICYCLE",
    AgentKind.CONSTRUCTION: "CONSTRUCTION_CONE CONSTRUCTION_BARREL",
    AgentKind.STATIC: "BOLLARD SIGN STOP_SIGN MOBILE_PEDESTRIAN_CROSSING_SIGN MESSAGE_BOARD_TRAILER "
    "TRAFFIC_LIGHT_TRAILER",
}
_KIND_OF_CATEGORY = {name: kind for kind, names in _KIND_CATEGORIES.items() for name in names.split()}
"""All others (animals, riderless motorcycles and wheeled devices) are UNKNOWN."""


@dataclass(frozen=True)
class SensorLog:
    """A whole log's tracks in the city frame, on one 10 Hz clock; the ego is agent 0.

    Attributes:
        id: The log's name.
        city: The city as its map file abbreviates it.
        ids: Track ids.
        kinds: `AgentKind` values.
        size: Length, width and height of the box, metres.
        stamps_ns: Time of each step's frame; 0 where the frame is missing.
        position: City frame, metres; of the ego its frame's origin (the rear axle), of the others the box centre.
        heading: Of the box, radians.
        valid: Where the track is annotated.
        map: The log's map.
    """

    id: str
    city: str
    ids: tuple[str, ...]
    kinds: Int[np.ndarray, " agents"]
    size: Float[np.ndarray, "agents 3"]
    stamps_ns: Int[np.ndarray, " steps"]
    position: Float[np.ndarray, "agents steps 2"]
    heading: Float[np.ndarray, "agents steps"]
    valid: Bool[np.ndarray, "agents steps"]
    map: MapIndex

    def scenario(
        self,
        start: int,
        *,
        history_steps: int = HISTORY_STEPS,
        future_steps: int = FUTURE_STEPS,
        map_radius_m: float = MAP_RADIUS_M,
    ) -> Scenario:
        """The window that begins at a step (11 s unless said otherwise), with the tracks that are seen in it.

        Nobody marked what to forecast: the ego is the focal agent, and road users (`ROAD_USERS`) that are seen at the
        present and at every step after it are scored. Without future steps these are all road users seen at the
        present, which is what a node, who knows no future, forecasts.
        """
        steps, window_steps = self.valid.shape[1], history_steps + future_steps
        if start + window_steps > steps:
            reason = f"expected {window_steps} frames ({window_steps / 10:g} s) from frame {start} on, found "
            raise RecordError(f"sensor log {self.id}: {reason}{steps - start}; leave the log out")
        present = history_steps - 1
        window = slice(start, start + window_steps)
        seen = np.flatnonzero(self.valid[:, window].any(axis=1))
        position, valid, kinds = self.position[seen, window], self.valid[seen, window], self.kinds[seen]
        agents = AgentTracks(
            ids=tuple(self.ids[agent] for agent in seen),
            kinds=kinds,
            position=position,
            heading=self.heading[seen, window],
            velocity=causal_velocity(position, valid, present, over_steps=1),
            valid=valid,
            scored=valid[:, present:].all(axis=1) & np.isin(kinds, ROAD_USERS),
        )
        near = self.map.near(position, valid, 0, present, map_radius_m)
        name = f"{self.id}_{start:03d}"
        return Scenario(name, "argoverse2-sensor", self.city, agents, near, history_steps, focal=0, ego=0)


@dataclass(frozen=True)
class SensorLogFiles:
    """The logs of one split; each step of a log that has 11 s before its end starts a scenario."""

    folder: Path
    source: str = "argoverse2-sensor"

    def names(self) -> list[str]:
        """Log names with their start steps.

        A log that is too short or cannot be read has one name all the same, so that reading it reports it.
        """
        names = []
        for log in record_folders(self.folder):
            try:
                windows = int(read_steps(self.folder / log)[-1]) + 2 - WINDOW_STEPS
            except RecordError:
                windows = 0
            names += [f"{log}_{start:03d}" for start in range(max(1, windows))]
        return names

    def path(self, name: str) -> Path:
        """The log's folder."""
        return self.folder / name.rpartition("_")[0]

    def read(self, name: str) -> Scenario:
        """One window of a log."""
        return read_log(self.path(name)).scenario(int(name.rpartition("_")[2]))


def find_argoverse2_sensor(folder: Path, split: str) -> SensorLogFiles | None:
    """The logs of a split, or None where the folder is not laid out like the Argoverse 2 sensor data set."""
    root = find_records((folder / split, folder), _POSES)
    return None if root is None else SensorLogFiles(root)


def read_steps(log: Path) -> Int[np.ndarray, " frames"]:
    """The 10 Hz step of every annotated frame, starting at 0; a frame that is missing leaves a gap."""
    path = _annotations(log)
    with reading(path, CURE):
        times = np.unique(
            feather.read_table(path, columns=["timestamp_ns"], use_threads=False)["timestamp_ns"].to_numpy()
        )
        if times.size == 0:
            raise bad_file(path, "it has no annotations", CURE)
    return _steps_of(times)


@lru_cache(maxsize=8)
def read_log(log: Path) -> SensorLog:
    """All tracks of a log and its map; the last few logs are kept, since each gives some fifty scenarios."""
    path = _annotations(log)
    with reading(path, CURE):
        boxes = feather.read_table(path, use_threads=False)
        check_columns(path, boxes, _BOX_COLUMNS, CURE)
    frames = np.unique(boxes["timestamp_ns"].to_numpy())
    steps = _steps_of(frames)
    poses = _read_poses(log / _POSES, frames)

    # Some releases list the ego among the boxes; its track comes from the poses in all of them.
    boxes = boxes.filter(pc.field("category") != _EGO_CATEGORY)
    frame = np.searchsorted(frames, boxes["timestamp_ns"].to_numpy())
    names, agent = encode(boxes["track_uuid"])
    valid = observed(path, names, agent, steps[frame], int(steps[-1]) + 1)
    grid = spread(_planar(_compose(poses.take(frame), _Poses.of(boxes))), agent, steps[frame], valid)

    ego_valid = np.isin(np.arange(valid.shape[1]), steps)[None]
    ego_grid = spread(_planar(poses), np.zeros_like(steps), steps, ego_valid)
    grid = np.concatenate([ego_grid, grid])
    stamps_ns = np.zeros(valid.shape[1], np.int64)
    stamps_ns[steps] = frames
    map_path = _map_file(log)
    return SensorLog(
        id=log.name,
        city=map_path.stem.rpartition("____")[2].partition("_")[0],
        ids=(EGO_ID, *names),
        kinds=np.concatenate([[AgentKind.VEHICLE], _kinds(boxes, agent)]),
        size=np.concatenate([[EGO_SIZE_M], _sizes(boxes, agent)]),
        stamps_ns=stamps_ns,
        position=grid[..., :2],
        heading=grid[..., 2],
        valid=np.concatenate([ego_valid, valid]),
        map=read_map(map_path),
    )


@dataclass(frozen=True)
class _Poses:
    """Poses in space: a_SE3_b as translations and rotation matrices."""

    translation: Float[np.ndarray, "poses 3"]
    rotation: Float[np.ndarray, "poses 3 3"]

    @classmethod
    def of(cls, table: pa.Table) -> _Poses:
        """The poses of a table's rows; the quaternions are stored as w, x, y, z."""
        x, y, z, qw, qx, qy, qz = (table[name].to_numpy() for name in _POSE)
        norm = np.sqrt(qw**2 + qx**2 + qy**2 + qz**2)
        w, i, j, k = qw / norm, qx / norm, qy / norm, qz / norm
        rotation = np.array(
            [
                [1 - 2 * (j * j + k * k), 2 * (i * j - k * w), 2 * (i * k + j * w)],
                [2 * (i * j + k * w), 1 - 2 * (i * i + k * k), 2 * (j * k - i * w)],
                [2 * (i * k - j * w), 2 * (j * k + i * w), 1 - 2 * (i * i + j * j)],
            ]
        )
        return cls(np.stack([x, y, z], axis=1), rotation.transpose(2, 0, 1))

    def take(self, rows: Int[np.ndarray, " chosen"]) -> _Poses:
        return _Poses(self.translation[rows], self.rotation[rows])


def _compose(outer: _Poses, inner: _Poses) -> _Poses:
    """a_SE3_b after b_SE3_c, pair by pair."""
    moved = np.einsum("nij,nj->ni", outer.rotation, inner.translation)
    return _Poses(moved + outer.translation, outer.rotation @ inner.rotation)


def _planar(poses: _Poses) -> list[Float[np.ndarray, " poses"]]:
    """x, y and heading: the direction of the pose's own x axis, seen from above."""
    heading = np.arctan2(poses.rotation[:, 1, 0], poses.rotation[:, 0, 0])
    return [poses.translation[:, 0], poses.translation[:, 1], heading]


def _read_poses(path: Path, frames_ns: Int[np.ndarray, " frames"]) -> _Poses:
    """city_SE3_ego at every annotated frame."""
    with reading(path, CURE):
        table = feather.read_table(path, use_threads=False)
        check_columns(path, table, _POSE_COLUMNS, CURE)
    times, first = np.unique(table["timestamp_ns"].to_numpy(), return_index=True)
    lost = np.setdiff1d(frames_ns, times)
    if lost.size:
        raise bad_file(path, f"expected a pose for every annotated frame; {lost.size} have none, as {lost[0]}", CURE)
    return _Poses.of(table).take(first[np.searchsorted(times, frames_ns)])


def _kinds(boxes: pa.Table, agent: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " agents"]:
    """The kind of every track, from the category of its first box."""
    categories, category = encode(boxes["category"])
    kinds = np.array([_KIND_OF_CATEGORY.get(name, AgentKind.UNKNOWN) for name in categories], dtype=np.int64)
    return kinds[category[np.unique(agent, return_index=True)[1]]]


def _sizes(boxes: pa.Table, agent: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "agents 3"]:
    """The size of every track, from its first box."""
    first = np.unique(agent, return_index=True)[1]
    return np.column_stack([boxes[name].to_numpy()[first] for name in _SIZE])


def _annotations(log: Path) -> Path:
    return next((log / name for name in _ANNOTATIONS if (log / name).is_file()), log / _ANNOTATIONS[-1])


def _map_file(log: Path) -> Path:
    found = sorted((log / "map").glob("log_map_archive_*.json"))
    if not found:
        raise bad_file(log / "map", "expected log_map_archive_*.json, found none", CURE)
    return found[0]


def _steps_of(times_ns: Int[np.ndarray, " frames"]) -> Int[np.ndarray, " frames"]:
    """Whole 10 Hz steps since the first frame, summed over the frames: their clock drifts (96 to 103 ms a frame)."""
    return np.concatenate([[0], np.cumsum(np.rint(np.diff(times_ns) / _NS_PER_STEP).astype(np.int64))])
