"""The nodes' ROS 2 messages, without ROS: types, type hashes, definitions and CDR, by `rosbags`.

Standard messages are those of ROS 2 Kilted. Autoware's, vision_msgs' and our own are .msg files in `interfaces/`, which
has the layout of a ROS workspace. Types have names like `sensor_msgs/msg/PointCloud2`. None of them uses `char`, the
only primitive whose type hash `rosbags` computes in another way than ROS.

This is fast enough for messages that are shallow or mostly one array: a point cloud takes 0.06 ms. Deeply nested
messages have a faster implementation in `perception_nodes.ros.cdr`.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.interfaces.typing import Typesdict
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from perception.errors import InputError
from perception_nodes.ros.cdr_payload import MAX_MESSAGE_BYTES, MalformedMessage
from perception_nodes.ros.wire import RELIABLE, Qos, Topic

INTERFACES = Path(__file__).parent / "interfaces"

TRACKED_OBJECTS = "autoware_perception_msgs/msg/TrackedObjects"
PREDICTED_OBJECTS = "autoware_perception_msgs/msg/PredictedObjects"
POLYLINE_MAP = "forecast_msgs/msg/PolylineMap"
FORECAST_STATUS = "forecast_msgs/msg/ForecastStatus"
LOG_TICK = "forecast_msgs/msg/LogTick"
DETECTIONS = "vision_msgs/msg/Detection3DArray"
ODOMETRY = "nav_msgs/msg/Odometry"
TF = "tf2_msgs/msg/TFMessage"
CLOCK = "rosgraph_msgs/msg/Clock"
POINT_CLOUD = "sensor_msgs/msg/PointCloud2"
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CLASSIFICATION = "vision_msgs/msg/Classification"
ANSWER_STATUS = "perception_node_msgs/msg/AnswerStatus"
SCENE_QUESTION = "scene_qa_msgs/msg/SceneQuestion"
SCENE_ANSWER = "scene_qa_msgs/msg/SceneAnswer"
ASK_SCENE = "scene_qa_msgs/srv/AskScene"

MAX_BYTES = {
    DETECTIONS: 4 * 2**20,
    ODOMETRY: 8 * 2**10,
    TF: 128 * 2**10,
    CLOCK: 64,
    SCENE_QUESTION: 64 * 2**10,
}
"""Maximum size of messages of which many are kept, or that `rosbags` makes many Python objects of: at 64 MiB it reads
500,000 empty detections for 16 s, into 1.2 GB. 2,000 detections of one hypothesis each take 0.9 MiB."""


@cache
def typestore() -> Typestore:
    """Returns all types in `rosbags`' form: `typestore().types[name]` is the dataclass of a message."""
    store = get_typestore(Stores.ROS2_KILTED)
    types: Typesdict = {}
    for path in sorted(INTERFACES.glob("*/msg/*.msg")):
        types |= get_types_from_msg(path.read_text(), f"{path.parent.parent.name}/msg/{path.stem}")
    store.register(types)
    return store


def make(name: str, /, **fields: Any) -> Any:
    """Returns a message of a type, from all its fields."""
    return _expect_known(name).types[name](**fields)


def header(stamp_ns: int, frame_id: str) -> Any:
    """Returns a `std_msgs/Header`; the stamp must be one that ROS can write, 0 to 2³¹ s."""
    seconds, nanoseconds = divmod(stamp_ns, 10**9)
    stamp = make("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def stamp_ns_of(header: Any) -> int:
    """Returns the stamp of a header in nanoseconds."""
    return header.stamp.sec * 10**9 + header.stamp.nanosec


def topic_of(name: str, kind: str, qos: Qos = RELIABLE) -> Topic:
    """Returns a topic of a known type."""
    return Topic(name, kind, type_hash(kind), qos)


def service_of(name: str, kind: str) -> Topic:
    """Returns a service of a type in `interfaces/`."""
    path = INTERFACES / f"{kind}.srv"
    if not path.is_file():
        raise InputError(f"unknown service type {kind!r}; expected one of {INTERFACES}/*/srv")
    return Topic(name, kind, service_hash(kind, path.read_text()))


def serialize(message: object, name: str) -> bytes:
    """Returns the CDR of a message, little-endian, with the four bytes of encapsulation."""
    return bytes(_expect_known(name).serialize_cdr(message, name))


def deserialize(data: bytes | memoryview, name: str) -> Any:
    """Returns the message in CDR bytes; raises `MalformedMessage`."""
    store, most = _expect_known(name), MAX_BYTES.get(name, MAX_MESSAGE_BYTES)
    if len(data) > most:
        raise MalformedMessage(f"a {name} of {len(data)} bytes; expected at most {most}")
    try:
        return store.deserialize_cdr(data, name)
    except (SerdeError, ValueError) as error:
        raise MalformedMessage(f"no {name}: {error}") from error


@cache
def definition(name: str) -> str:
    """Returns the type's .msg text and those of all types in it, in the form of MCAP's `ros2msg` schemas."""
    return _expect_known(name).generate_msgdef(name, ros_version=2)[0]


@cache
def type_hash(name: str) -> str:
    """Returns the type's RIHS01 hash (REP 2016), by which ROS 2 nodes check that they mean the same message."""
    return _expect_known(name).hash_rihs01(name)


def service_hash(name: str, text: str) -> str:
    """Returns the RIHS01 hash of a service: that of a struct of its request, response and event.

    `rosbags` has no services.

    Args:
        name: Type of the service, such as `scene_qa_msgs/srv/AskScene`.
        text: Its .srv file: request, a line of three dashes, response.
    """
    request, response = re.split(r"^---$", text, maxsplit=1, flags=re.MULTILINE)
    parts = {part: (Nodetype.NAME, f"{name}_{part.title()}") for part in ("request", "response", "event")}
    info = "service_msgs/msg/ServiceEventInfo"
    at_most_one: list[Any] = [(part, (Nodetype.SEQUENCE, (parts[part], 1))) for part in ("request", "response")]
    store = Typestore()
    store.fielddefs = typestore().fielddefs | {
        name: ([], [(f"{part}_message", kind) for part, kind in parts.items()]),
        f"{name}_Request": _fields_of(request, name),
        f"{name}_Response": _fields_of(response, name),
        f"{name}_Event": ([], [("info", (Nodetype.NAME, info)), *at_most_one]),
        info: _fields_of(_SERVICE_EVENT_INFO, info),
    }
    return store.hash_rihs01(name)


_SERVICE_EVENT_INFO = """
uint8 event_type
builtin_interfaces/Time stamp
uint8[16] client_gid
int64 sequence_number
"""
"""ROS writes `char[16] client_gid`, and hashes it as uint8."""


def _fields_of(text: str, name: str) -> tuple[Any, Any]:
    """Returns the constants and fields of a .msg text; types without a package belong to the package of the name."""
    ((constants, fields),) = get_types_from_msg(text, f"{name.split('/')[0]}/msg/Any").values()
    return constants, fields


def _expect_known(name: str) -> Typestore:
    """Returns the type store; refuses a type that it does not have."""
    store = typestore()
    if name not in store.fielddefs:
        own = ", ".join(sorted({path.parent.parent.name for path in INTERFACES.glob("*/msg/*.msg")}))
        raise InputError(f"unknown message type {name!r}; expected package/msg/Name of ROS 2 Kilted or of {own}")
    return store
