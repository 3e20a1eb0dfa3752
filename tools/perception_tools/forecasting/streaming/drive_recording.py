"""What a replay writes down: inputs and answers as ROS 2 messages in MCAP, and the fingerprint of the answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from perception_nodes.forecasting import plan
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.messages import odometry_of, predicted_objects_of, status_of, tracked_objects_of
from perception_nodes.forecasting.tick import Tick
from perception_nodes.recordings.reader import read_recording
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.cdr import read_predicted_objects, write_predicted_objects, write_tracked_objects
from perception_nodes.ros.map_message import map_message
from perception_nodes.ros.messages import (
    FORECAST_STATUS,
    LOG_TICK,
    ODOMETRY,
    POLYLINE_MAP,
    PREDICTED_OBJECTS,
    TRACKED_OBJECTS,
    header,
    make,
    serialize,
    topic_of,
)
from perception_nodes.ros.odometry import ODOMETRY_TOPIC
from perception_nodes.ros.wire import LATCHED
from perception_tools.forecasting.streaming.drive import Drive
from perception_tools.forecasting.streaming.playback import Record

MAP = topic_of(plan.MAP, POLYLINE_MAP, LATCHED)
EGO = topic_of(ODOMETRY_TOPIC, ODOMETRY)
INPUT = topic_of(plan.OBJECTS, TRACKED_OBJECTS)
OUTPUT = topic_of(plan.FORECASTS, PREDICTED_OBJECTS)
STATUS = topic_of(plan.STATUS, FORECAST_STATUS)
LOG = topic_of("/replay/log_ticks", LOG_TICK)


@contextmanager
def recording(path: Path, drive: Drive) -> Iterator[Record]:
    """Gives what writes a replay to an MCAP file: map, inputs, valid answers, and how each frame was answered.

    The file can be replayed itself, like a robot's own. It also has what the inputs' messages cannot say of a tick,
    such as Argoverse's kinds of objects that do not move: the answers to a replay of it are the same bits again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with Recorder(path, lossless=True) as recorder:
        lanes = map_message(drive.lanes, drive.city)
        recorder.record(MAP, drive.frames[0].stamp_ns, serialize(lanes, POLYLINE_MAP))

        def record(frame: Tick, result: ForecastResult) -> None:
            objects = frame.sent or tracked_objects_of(frame, _velocities(frame, result))
            recorder.record(EGO, frame.stamp_ns, serialize(odometry_of(frame), ODOMETRY))
            recorder.record(LOG, frame.stamp_ns, serialize(_log_tick(frame), LOG_TICK))
            recorder.record(INPUT, frame.stamp_ns, write_tracked_objects(objects))
            if result.valid:
                recorder.record(OUTPUT, frame.stamp_ns, _encode(result))
            recorder.record(STATUS, frame.stamp_ns, serialize(status_of(result), FORECAST_STATUS))

        yield record


def _log_tick(frame: Tick) -> Any:
    return make(
        LOG_TICK,
        header=header(frame.stamp_ns, "map"),
        is_tracked=frame.sent is not None,
        ego_heading=frame.city_SE2_ego.heading_rad,
        ids=list(frame.ids),
        kinds=frame.kinds.astype(np.uint8),
        headings=frame.heading.astype(np.float64),
    )


def digest_of_recording(path: Path) -> str:
    """The digest of a recording's answers, equal to `digest` of its results."""
    return _digest(message.cdr for message in read_recording(path, [OUTPUT.name]))


def digest(results: Iterable[ForecastResult]) -> str:
    """SHA-256 of all that the valid answers say, as whoever decodes the messages finds it."""
    return _digest(_encode(result) for result in results if result.valid)


def _velocities(frame: Tick, result: ForecastResult) -> Float[np.ndarray, "objects 2"]:
    """Velocity of each forecast object; 0 for the others."""
    known = dict(zip(result.objects.ids, result.velocity.tolist(), strict=True))
    return np.array([known.get(name, (0.0, 0.0)) for name in frame.ids]).reshape(-1, 2)


def _encode(result: ForecastResult) -> bytes:
    return bytes(write_predicted_objects(predicted_objects_of(result)))


def _digest(messages: Iterable[bytes]) -> str:
    sha = hashlib.sha256()
    for cdr in messages:
        message = read_predicted_objects(cdr)
        for field in fields(message):
            value = getattr(message, field.name)
            sha.update(field.name.encode())
            sha.update(np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return sha.hexdigest()
