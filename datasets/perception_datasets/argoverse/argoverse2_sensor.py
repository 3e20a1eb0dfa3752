"""Reader of Argoverse 2 sensor logs: windows of 5 s history and 6 s future over the annotated tracks.

Boxes are annotated for each LiDAR sweep (10 Hz) in the ego frame, and transformed to the city frame by the ego poses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from perception.traffic.map_index import MAP_RADIUS_M, MapIndex
from perception.traffic.motion import causal_velocity
from perception.traffic.resampling import resample, window_ns
from perception.traffic.scenario import ROAD_USERS, AgentKind, AgentTracks, Scenario
from perception_datasets.argoverse.argoverse2 import EGO_ID, FUTURE_STEPS, HISTORY_STEPS
from perception_datasets.argoverse.argoverse2_map import read_map
from perception_datasets.argoverse.remembered import remembered
from perception_datasets.argoverse.table_files import METRES, SIZE_M, TEXT, TIME_NS, Column, read_feather
from perception_datasets.argoverse.track_tables import encode, first_rows, observed, spread
from perception_datasets.errors import RecordError, bad_file, reading
from perception_datasets.folders import find_records, record_folders

WINDOW_STEPS = HISTORY_STEPS + FUTURE_STEPS
CURE = "extract the log again from Argoverse 2's sensor archive"

_ANNOTATIONS = ("annotations_with_ego.feather", "annotations.feather")
_POSES = "city_SE3_egovehicle.feather"
_EGO_CATEGORY = "EGO_VEHICLE"
EGO_SIZE_M = (4.877, 2.0, 1.473)
"""Length, width and height, from the logs that list the ego among the boxes."""
_NS_PER_STEP = 100_000_000
_MAX_STEPS = 36_000
"""An hour; the logs of the data set last 15 s."""
_NORM_TOLERANCE = 0.01

_TRANSLATION = ("tx_m", "ty_m", "tz_m")
_ROTATION = ("qw", "qx", "qy", "qz")
_SIZE = ("length_m", "width_m", "height_m")
_TIME_COLUMN = {"timestamp_ns": TIME_NS}
_POSE_COLUMNS = {
    **_TIME_COLUMN,
    **dict.fromkeys(_TRANSLATION, METRES),
    **dict.fromkeys(_ROTATION, Column(pa.float64(), -1.01, 1.01)),
}
BOX_COLUMNS = {"track_uuid": TEXT, "category": TEXT, **_POSE_COLUMNS, **dict.fromkeys(_SIZE, SIZE_M)}

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
"""All other categories (animals, riderless motorcycles and wheeled devices) are UNKNOWN."""


@dataclass(frozen=True)
class SensorLog:
    """Tracks of a whole log in the city frame, in steps of 0.1 s; the ego is agent 0.

    Attributes:
        id: Name of the log.
        city: City, as abbreviated in the name of the map file.
        ids: Track ids.
        kinds: `AgentKind` values.
        size: Length, width and height of the box, metres.
        stamps_ns: Time of the sweep at each step; 0 if the sweep is missing.
        position: Position in the city frame, metres: of the box centre, or of the ego frame's origin (its rear axle).
        heading: Heading of the box, radians.
        valid: Whether the track is annotated at each step.
        map: Map of the log.
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
        """Returns the window from step `start` on (11 s by default), with the tracks that are annotated in it.

        The history lies on the grid of 0.1 s that ends at the present, as in a node: sweeps of a log at 10 Hz are
        counted, and short gaps are bridged (`resample`). The future is as annotated, sweep by sweep.

        Sensor logs do not state what to forecast. Here the ego is the focal agent, and the road users (`ROAD_USERS`)
        that are annotated at the present and at all later steps are scored. Without future steps, these are all road
        users at the present, which are those that a node forecasts.

        Raises:
            RecordError: The log ends before the window.
        """
        steps, window_steps = self.valid.shape[1], history_steps + future_steps
        if start + window_steps > steps:
            reason = f"expected {window_steps} steps ({window_steps / 10:g} s) from step {start} on, found "
            raise RecordError(f"sensor log {self.id}: {reason}{steps - start}; leave the log out")
        present = history_steps - 1
        window = slice(start, start + window_steps)
        seen = np.flatnonzero(self.valid[:, window].any(axis=1))
        position, heading, valid = self.position[seen, window], self.heading[seen, window], self.valid[seen, window]
        if self.stamps_ns[start + present]:
            grid, known = self._history(start + present, seen, history_steps)
            position[:, :history_steps], heading[:, :history_steps] = grid[..., :2], grid[..., 2]
            valid[:, :history_steps] = known
        kinds = self.kinds[seen]
        agents = AgentTracks(
            ids=tuple(self.ids[agent] for agent in seen),
            kinds=kinds,
            position=position,
            heading=heading,
            velocity=causal_velocity(position, valid, present, over_steps=1),
            valid=valid,
            scored=valid[:, present:].all(axis=1) & np.isin(kinds, ROAD_USERS),
        )
        near = self.map.near(position, valid, 0, present, map_radius_m)
        name = f"{self.id}_{start:03d}"
        return Scenario(name, "argoverse2-sensor", self.city, agents, near, history_steps, focal=0, ego=0)

    def _history(
        self, step: int, agents: Int[np.ndarray, " chosen"], steps: int
    ) -> tuple[Float[np.ndarray, "chosen {steps} 3"], Bool[np.ndarray, "chosen {steps}"]]:
        """Returns x, y and heading of some agents on the grid that ends at a step's sweep, and where they are known."""
        stamps_ns = self.stamps_ns[: step + 1]
        sweeps = np.flatnonzero((stamps_ns > 0) & (stamps_ns >= stamps_ns[-1] - window_ns(steps)))
        rows = np.ix_(agents, sweeps)
        poses = np.concatenate([self.position[rows], self.heading[rows][..., None]], axis=-1)
        return resample(stamps_ns[sweeps], poses, self.valid[rows], steps)


@dataclass(frozen=True)
class SensorLogFiles:
    """Logs of one split; every step at least 11 s before the end of a log starts a scenario."""

    folder: Path
    source: str = "argoverse2-sensor"

    def names(self) -> list[str]:
        """Returns log names with start steps, such as `<log>_000`.

        A log that is too short or cannot be read has one name as well, so that it is reported when it is read.
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
        """Returns the folder of the log."""
        return self.folder / name.rpartition("_")[0]

    def inputs(self, name: str) -> tuple[Path, ...]:
        """Returns the log's folder and that of its map."""
        return self.path(name), self.path(name) / "map"

    def read(self, name: str) -> Scenario:
        """Reads one window of a log."""
        return read_log(self.path(name)).scenario(int(name.rpartition("_")[2]))


def find_argoverse2_sensor(folder: Path) -> SensorLogFiles | None:
    """Finds the logs in the folder of a split; returns None if it is not laid out like the Argoverse 2 sensor data."""
    return None if find_records((folder,), _POSES) is None else SensorLogFiles(folder)


def read_steps(log: Path) -> Int[np.ndarray, " sweeps"]:
    """Returns the 10 Hz step of each annotated sweep, starting at 0; a missing sweep leaves a gap."""
    path = _annotations(log)
    with reading(path, CURE):
        table = read_feather(path, _TIME_COLUMN, CURE)
        return _steps_of(path, np.unique(table["timestamp_ns"].to_numpy()))


@remembered(lambda log: [_annotations(log), log / _POSES, *_map_files(log)], results=8)
def read_log(log: Path) -> SensorLog:
    """Reads the tracks and the map of a log; caches the last few logs, since each holds about fifty scenarios."""
    path = _annotations(log)
    with reading(path, CURE):
        boxes = read_feather(path, BOX_COLUMNS, CURE)
        sweeps_ns = np.unique(boxes["timestamp_ns"].to_numpy())
        steps = _steps_of(path, sweeps_ns)
        # Only some releases list the ego among the boxes, so its track always comes from the poses.
        boxes = boxes.filter(pc.field("category").cast(pa.string()) != _EGO_CATEGORY)
        sweep = np.searchsorted(sweeps_ns, boxes["timestamp_ns"].to_numpy())
        names, agent = encode(boxes["track_uuid"])
        valid = observed(path, names, agent, steps[sweep], int(steps[-1]) + 1)
        ego_SE3_box = Poses.of(path, boxes)
    poses = _read_poses(log / _POSES, sweeps_ns)
    grid = spread(_planar(_compose(poses.take(sweep), ego_SE3_box)), agent, steps[sweep], valid)

    ego_valid = np.isin(np.arange(valid.shape[1]), steps)[None]
    ego_grid = spread(_planar(poses), np.zeros_like(steps), steps, ego_valid)
    grid = np.concatenate([ego_grid, grid])
    stamps_ns = np.zeros(valid.shape[1], np.int64)
    stamps_ns[steps] = sweeps_ns
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
class Poses:
    """3-D poses `a_SE3_b` as translations and rotation matrices."""

    translation: Float[np.ndarray, "poses 3"]
    rotation: Float[np.ndarray, "poses 3 3"]

    @classmethod
    def of(cls, path: Path, table: pa.Table) -> Poses:
        """Returns the poses of a table's rows; raises RecordError if a rotation is no unit quaternion."""
        x, y, z, qw, qx, qy, qz = (table[name].to_numpy() for name in (*_TRANSLATION, *_ROTATION))
        norm = np.sqrt(qw**2 + qx**2 + qy**2 + qz**2)
        wrong = np.flatnonzero(np.abs(norm - 1) > _NORM_TOLERANCE)
        if wrong.size:
            reason = (
                f"timestamp_ns {table['timestamp_ns'][wrong[0]]}: expected a unit quaternion in qw to qz, found one "
            )
            raise bad_file(path, f"{reason}of length {norm[wrong[0]]:.3g}", CURE)
        w, i, j, k = qw / norm, qx / norm, qy / norm, qz / norm
        rotation = np.array(
            [
                [1 - 2 * (j * j + k * k), 2 * (i * j - k * w), 2 * (i * k + j * w)],
                [2 * (i * j + k * w), 1 - 2 * (i * i + k * k), 2 * (j * k - i * w)],
                [2 * (i * k - j * w), 2 * (j * k + i * w), 1 - 2 * (i * i + j * j)],
            ]
        )
        return cls(np.stack([x, y, z], axis=1), rotation.transpose(2, 0, 1))

    def take(self, rows: Int[np.ndarray, " chosen"]) -> Poses:
        """Returns some of the poses."""
        return Poses(self.translation[rows], self.rotation[rows])


def _compose(outer: Poses, inner: Poses) -> Poses:
    """Returns `a_SE3_c` for each pair of `a_SE3_b` and `b_SE3_c`."""
    moved = np.einsum("nij,nj->ni", outer.rotation, inner.translation)
    return Poses(moved + outer.translation, outer.rotation @ inner.rotation)


def _planar(poses: Poses) -> list[Float[np.ndarray, " poses"]]:
    """Returns x, y and heading; the heading is the direction of the pose's x axis in the ground plane."""
    heading = np.arctan2(poses.rotation[:, 1, 0], poses.rotation[:, 0, 0])
    return [poses.translation[:, 0], poses.translation[:, 1], heading]


def _read_poses(path: Path, sweeps_ns: Int[np.ndarray, " sweeps"]) -> Poses:
    """Reads `city_SE3_ego` at each annotated sweep."""
    with reading(path, CURE):
        table = read_feather(path, _POSE_COLUMNS, CURE)
        times, first = np.unique(table["timestamp_ns"].to_numpy(), return_index=True)
        if len(times) < table.num_rows:
            raise bad_file(path, f"expected one pose for each time, found {table.num_rows} for {len(times)}", CURE)
        missing = np.setdiff1d(sweeps_ns, times)
        if missing.size:
            reason = "expected a pose for each annotated sweep, found none for "
            raise bad_file(path, f"{reason}{missing.size}, the first at {missing[0]} ns", CURE)
        return Poses.of(path, table).take(first[np.searchsorted(times, sweeps_ns)])


def _kinds(boxes: pa.Table, agent: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " agents"]:
    """Returns the kind of each track, from the category of its first box."""
    categories, category = encode(boxes["category"])
    kinds = np.array([_KIND_OF_CATEGORY.get(name, AgentKind.UNKNOWN) for name in categories], dtype=np.int64)
    return kinds[category[first_rows(agent)]]


def _sizes(boxes: pa.Table, agent: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "agents 3"]:
    """Returns the size of each track, from its first box."""
    first = first_rows(agent)
    return np.column_stack([boxes[name].to_numpy()[first] for name in _SIZE])


def _annotations(log: Path) -> Path:
    return next((log / name for name in _ANNOTATIONS if (log / name).is_file()), log / _ANNOTATIONS[-1])


def _map_file(log: Path) -> Path:
    found = _map_files(log)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise bad_file(log / "map", f"expected one log_map_archive_*.json, found {names}", CURE)
    return found[0]


def _map_files(log: Path) -> list[Path]:
    return sorted((log / "map").glob("log_map_archive_*.json"))


def _steps_of(path: Path, times_ns: Int[np.ndarray, " sweeps"]) -> Int[np.ndarray, " sweeps"]:
    """Returns 10 Hz steps since the first sweep.

    Intervals are rounded one by one and then summed, because they vary between 96 and 103 ms.
    """
    intervals = np.rint(np.diff(times_ns) / _NS_PER_STEP).astype(np.int64)
    if (intervals < 1).any():
        first = times_ns[intervals.argmin()]
        raise bad_file(path, f"expected sweeps 0.1 s apart, found two within 0.05 s after {first} ns", CURE)
    if intervals.sum() > _MAX_STEPS:
        raise bad_file(path, f"expected at most {_MAX_STEPS} steps of 0.1 s, found {intervals.sum()}", CURE)
    return np.concatenate([[0], np.cumsum(intervals)])
