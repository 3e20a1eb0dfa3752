"""What can be replayed: an Argoverse 2 sensor log, or a recording of a robot's own topics, as frames and a map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError
from perception.geometry import SE2
from perception.traffic.map_index import MapIndex
from perception_datasets.argoverse.argoverse2_sensor import SensorLog, read_log
from perception_nodes.forecasting.messages import READERS
from perception_nodes.forecasting.tick import Tick
from perception_nodes.recordings.mcap_file import Recorded
from perception_nodes.recordings.reader import read_recording
from perception_nodes.ros.map_message import map_of
from perception_nodes.ros.messages import LOG_TICK, ODOMETRY, POLYLINE_MAP, deserialize, stamp_ns_of
from perception_nodes.ros.odometry import ego_pose_of

POSE_WITHIN_NS = 50_000_000
"""An ego pose may be so far from a frame's stamp, half a step; localisations run at 50 Hz and more."""


@dataclass(frozen=True)
class Drive:
    """Something to replay.

    Attributes:
        id: The log's or the file's name.
        city: The map's name.
        lanes: The map.
        frames: In the order in which they came.
        log: Where there is one, for the comparison to offline forecasts.
    """

    id: str
    city: str
    lanes: MapIndex
    frames: Sequence[Tick]
    log: SensorLog | None


def open_drive(path: Path) -> Drive:
    """A folder with an Argoverse 2 sensor log, or an MCAP file or rosbag2 folder with a robot's topics."""
    if path.is_dir() and not (path / "metadata.yaml").exists():
        log = read_log(path)
        return Drive(log.id, log.city, log.map, list(frames_of_log(log)), log)
    return _read_topics(path)


def frames_of_log(log: SensorLog) -> Iterator[Tick]:
    """A log as the tracker's frames, in order."""
    for step in np.flatnonzero(log.valid[0]).tolist():
        seen = np.flatnonzero(log.valid[:, step])[1:]  # agent 0 is the ego
        x_m, y_m = log.position[0, step].tolist()
        yield Tick(
            stamp_ns=int(log.stamps_ns[step]),
            city_SE2_ego=SE2(x_m, y_m, float(log.heading[0, step])),
            ids=tuple(log.ids[agent] for agent in seen),
            kinds=log.kinds[seen],
            position=log.position[seen, step],
            heading=log.heading[seen, step],
            size=log.size[seen],
        )


def _read_topics(path: Path) -> Drive:
    """Objects (of any type in `READERS`), Odometry and a PolylineMap, on whatever topics; others are not looked at.

    Where a replay recorded its log's ticks too, the frames are those.
    """
    types = {*READERS, ODOMETRY, POLYLINE_MAP, LOG_TICK}
    known = [message for message in read_recording(path) if message.type in types]
    odometry = [deserialize(message.cdr, ODOMETRY) for message in _of_one_topic(path, known, [ODOMETRY])]
    lanes, city = map_of(deserialize(_of_one_topic(path, known, [POLYLINE_MAP])[-1].cdr, POLYLINE_MAP))
    poses, frame_id = _EgoPoses(odometry), odometry[0].header.frame_id
    logged = (deserialize(message.cdr, LOG_TICK) for message in known if message.type == LOG_TICK)
    log_tick_of = {stamp_ns_of(tick.header): tick for tick in logged}
    frames = []
    for message in _of_one_topic(path, known, READERS):
        objects = READERS[message.type](message.cdr)
        if objects.frame_id != frame_id:
            raise InputError(
                f"{path}: expected objects in the ego pose's frame {frame_id!r}, found them in {objects.frame_id!r}; "
                "record what a tracker says in that frame"
            )
        frame, log_tick = objects.at(poses.at(objects.stamp_ns)), log_tick_of.get(objects.stamp_ns)
        frames.append(frame if log_tick is None else _as_logged(frame, log_tick, path))
    return Drive(path.stem, city, lanes, frames, None)


def _as_logged(frame: Tick, log_tick: Any, path: Path) -> Tick:
    """Returns a tick as the replay that recorded it had it."""
    if {len(log_tick.ids), len(log_tick.kinds), len(log_tick.headings)} != {len(frame)}:
        raise InputError(
            f"{path}: expected a {LOG_TICK} of {len(frame)} objects at {frame.stamp_ns} ns, as its objects' message, "
            f"found {len(log_tick.ids)}; record the replay again"
        )
    pose = frame.city_SE2_ego
    return replace(
        frame,
        city_SE2_ego=SE2(pose.x_m, pose.y_m, log_tick.ego_heading),
        ids=tuple(log_tick.ids),
        kinds=log_tick.kinds.astype(np.int64),
        heading=log_tick.headings,
        motion=frame.motion if log_tick.is_tracked else None,
    )


def _of_one_topic(path: Path, messages: Iterable[Recorded], types: Iterable[str]) -> list[Recorded]:
    """All messages of some types, which must be on one topic."""
    chosen = [message for message in messages if message.type in types]
    topics = sorted({message.topic for message in chosen})
    if len(topics) != 1:
        found = ", ".join(topics) or "none"
        raise InputError(f"{path}: expected one topic of {' or '.join(types)}, found {found}; record that one")
    return chosen


class _EgoPoses:
    """The ego's pose over time."""

    def __init__(self, odometry: Sequence[Any]) -> None:
        stamps = [stamp_ns_of(message.header) for message in odometry]
        order = np.argsort(stamps, kind="stable")
        self._stamps_ns = np.array(stamps, dtype=np.int64)[order]
        self._poses = [ego_pose_of(odometry[row]) for row in order]

    def at(self, stamp_ns: int) -> SE2:
        """The nearest in time; not a number where none is near, which the node answers with a reason."""
        apart = np.abs(self._stamps_ns - stamp_ns)
        nearest = int(apart.argmin())
        return self._poses[nearest] if apart[nearest] <= POSE_WITHIN_NS else SE2(np.nan, np.nan, np.nan)
