"""A map as a file: a recording of one latched `forecast_msgs/PolylineMap`, or the bare CDR of it.

`perception mcap play FILE` and `ros2 bag play FILE` latch the recording on its topic.
"""

from __future__ import annotations

from pathlib import Path

from perception.errors import InputError
from perception.files import reading, whole_file
from perception.traffic.map_index import MapIndex
from perception_nodes.recordings.reader import read_recording, topics_in
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.cdr_payload import MAX_MESSAGE_BYTES, MalformedMessage
from perception_nodes.ros.map_message import map_message, map_of
from perception_nodes.ros.messages import POLYLINE_MAP, deserialize, serialize, topic_of
from perception_nodes.ros.wire import LATCHED

CURE = "write it with `perception map convert`"


def write_map_file(path: Path, lanes: MapIndex, name: str, *, topic: str, frame_id: str = "map") -> None:
    """Writes a map.

    Args:
        path: NAME.mcap, or NAME.cdr for the message alone.
        lanes: The map.
        name: Name of the map, such as its city.
        topic: Topic on which the recording latches it.
        frame_id: Frame of its coordinates.

    Raises:
        InputError: A node would refuse the map, the file's name has another ending, or it cannot be written.
    """
    cdr = serialize(map_message(lanes, name, frame_id=frame_id), POLYLINE_MAP)
    map_of(deserialize(cdr, POLYLINE_MAP))  # with a node's own bounds
    match path.suffix:
        case ".mcap":
            with Recorder(path, lossless=True) as recorder:
                recorder.record(topic_of(topic, POLYLINE_MAP, LATCHED), 0, cdr)
        case ".cdr":
            with whole_file(path) as temporary:
                temporary.write_bytes(cdr)
        case other:
            raise InputError(f"{path}: expected a name that ends in .mcap or .cdr, got {other or 'none'!r}; rename it")


def read_map_file(path: Path) -> tuple[MapIndex, str]:
    """Returns the map in a file, and its name.

    Args:
        path: NAME.cdr with the message alone, or a recording whose last `PolylineMap` is the map.

    Raises:
        InputError: The file cannot be read, has no map or one on each of several topics, or a node would refuse it.
    """
    with reading(path, CURE):
        if path.suffix == ".cdr":
            if path.stat().st_size > MAX_MESSAGE_BYTES:
                raise InputError(f"{path}: expected at most {MAX_MESSAGE_BYTES} bytes, found more; {CURE}")
            cdr = path.read_bytes()
        else:
            cdr = last_of_type(path, POLYLINE_MAP)
        try:
            return map_of(deserialize(cdr, POLYLINE_MAP))
        except MalformedMessage as error:
            raise InputError(f"{path}: {error}; {CURE}") from error


def last_of_type(path: Path, kind: str) -> bytes:
    """Returns the CDR of the last message of a type in a recording, which must be on one topic.

    Raises:
        InputError: The recording cannot be read, or the type is on no topic or on several.
    """
    names = [topic.name for topic in topics_in(path).values() if topic.type == kind]
    messages = [message.cdr for message in read_recording(path, names)] if len(names) == 1 else []
    if not messages:
        found = ", ".join(names) or "none"
        raise InputError(f"{path}: expected one topic with messages of {kind}, found {found}; {CURE}")
    return messages[-1]
