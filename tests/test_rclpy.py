"""What we say without ROS, held to ROS itself: rclpy, Fast-CDR and rosidl from the `ros-kilted-*` wheels.

They live in a virtual environment of their own, built once (half a minute, 0.6 GB) in $PERCEPTION_CACHE or
~/.cache/frozen-perception. There are no wheels of autoware_perception_msgs, vision_msgs and our own packages: ROS
hashes their types here, but their CDR is held to rosbags alone (`perception_nodes/test_cdr.py`), which is held to ROS
here.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.interfaces import Nodetype

from perception_nodes.messages import INTERFACES, deserialize, make, serialize, service_hash, type_hash, typestore

pytestmark = pytest.mark.slow

WHEELS = ["ros-kilted-rclpy", "ros-kilted-common-interfaces", "ros-kilted-rmw-fastrtps-cpp"]
STANDARD = [
    "actionlib_msgs",
    "builtin_interfaces",
    "diagnostic_msgs",
    "geometry_msgs",
    "lifecycle_msgs",
    "nav_msgs",
    "rosgraph_msgs",
    "sensor_msgs",
    "shape_msgs",
    "std_msgs",
    "stereo_msgs",
    "trajectory_msgs",
    "unique_identifier_msgs",
    "visualization_msgs",
]


@pytest.fixture(scope="session")
def ros() -> Path:
    """The environment with the wheels; the tests are skipped where they cannot be had."""
    cache = Path(os.environ.get("PERCEPTION_CACHE", Path.home() / ".cache" / "frozen-perception"))
    folder = cache / f"rclpy-kilted-py{sys.version_info.major}{sys.version_info.minor}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other workers wait for the first
        if not (folder / "complete").exists():
            _build(folder)
    return folder


def _build(folder: Path) -> None:
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", *WHEELS]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, capture_output=True)
        subprocess.run(pip, check=True, capture_output=True, text=True, timeout=300)
    except (subprocess.SubprocessError, OSError) as error:
        last = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1]
        pytest.skip(f"the package index gives no ros-kilted wheels for this Python: {last}")
    (folder / "complete").touch()


def run_in_ros(ros: Path, script: str, request: object) -> Any:
    """What a script, run by the environment's Python, makes of a request; both are JSON."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"], "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    finished = subprocess.run(
        [str(ros / "bin" / "python"), "-c", script],
        input=json.dumps(request),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


def described(ros: Path, kind: str) -> Iterator[tuple[str, str, Path]]:
    """Name, type hash and source file of every interface of a kind (msg or srv) in the wheels."""
    for path in sorted(ros.glob(f"share/*/{kind}/*.json")):
        name = f"{path.parts[-3]}/{kind}/{path.stem}"
        hashes = {entry["type_name"]: entry["hash_string"] for entry in json.loads(path.read_text())["type_hashes"]}
        yield name, hashes[name], path.with_suffix(f".{kind}")


def test_message_types_hash_as_in_ros_except_for_char(ros: Path) -> None:
    known = [(name, expected) for name, expected, _ in described(ros, "msg") if name in typestore().fielddefs]
    different = {name for name, expected in known if type_hash(name) != expected}
    assert len(known) > 140
    with_char = {"std_msgs/msg/Char", "service_msgs/msg/ServiceEventInfo"}
    assert {name for name in different if not name.startswith("rmw_dds_common/")} == with_char


def test_service_types_hash_as_in_ros(ros: Path) -> None:
    services = list(described(ros, "srv"))
    assert len(services) >= 25
    assert {name: service_hash(name, source.read_text()) for name, _, source in services} == {
        name: expected for name, expected, _ in services
    }


HASH_INTERFACES = """
import contextlib, json, sys, tempfile
from pathlib import Path
from rosidl_adapter.msg import convert_msg_to_idl
from rosidl_adapter.srv import convert_srv_to_idl
from rosidl_generator_type_description import generate_type_hash

source, share = map(Path, json.load(sys.stdin))
out = Path(tempfile.mkdtemp())
include = [f"{p.name}:{p}" for p in share.iterdir() if (p / "msg").is_dir()]
hashes = {}
for package in ("autoware_perception_msgs", "autoware_map_msgs", "vision_msgs", "scene_qa_msgs", "forecast_msgs"):
    idl = []
    with contextlib.redirect_stdout(sys.stderr):
        for kind, convert in (("msg", convert_msg_to_idl), ("srv", convert_srv_to_idl)):
            for path in sorted((source / package / kind).glob(f"*.{kind}")):
                convert(source / package, package, path.relative_to(source / package), out / "idl" / package / kind)
                idl.append(f"{out / 'idl' / package}:{kind}/{path.stem}.idl")
        arguments = out / f"{package}.json"
        made = out / "made" / package
        arguments.write_text(json.dumps(
            {"package_name": package, "output_dir": str(made), "idl_tuples": idl, "include_paths": include}
        ))
        generate_type_hash(str(arguments))
    include.append(f"{package}:{made}")
    for path in made.glob("*/*.json"):
        for entry in json.loads(path.read_text())["type_hashes"]:
            hashes[entry["type_name"]] = entry["hash_string"]
print(json.dumps(hashes))
"""


def test_the_types_that_we_ship_hash_as_in_ros(ros: Path) -> None:
    hashes = run_in_ros(ros, HASH_INTERFACES, [str(INTERFACES), str(ros / "share")])
    messages = [f"{path.parent.parent.name}/msg/{path.stem}" for path in INTERFACES.glob("*/msg/*.msg")]
    assert len(messages) >= 20
    assert {name: type_hash(name) for name in messages} == {name: hashes[name] for name in messages}
    service = "scene_qa_msgs/srv/AskScene"
    assert service_hash(service, (INTERFACES / f"{service}.srv").read_text()) == hashes[service]


ECHO = """
import json, sys
from importlib import import_module
from rclpy.serialization import deserialize_message, serialize_message

answers = []
for name, cdr in json.load(sys.stdin):
    package, _, message = name.split("/")
    kind = getattr(import_module(f"{package}.msg"), message)
    answers.append(serialize_message(deserialize_message(bytes.fromhex(cdr), kind)).hex())
print(json.dumps(answers))
"""


def test_cdr_is_read_and_written_as_by_rclpy(ros: Path) -> None:
    """Random messages of every standard type go there and back.

    The bytes are the same but for padding, where rclpy leaves what lay in its memory and we write zeros. rclpy also
    leaves some bytes at the end: it estimates the size of a message before it writes it.
    """
    rng = np.random.default_rng(0)
    names = [name for name, _, _ in described(ros, "msg") if name.split("/")[0] in STANDARD]
    assert len(names) > 120
    sent = [(name, serialize(random_message(rng, name), name)) for name in names for _ in range(3)]
    echoed = [bytes.fromhex(echo) for echo in run_in_ros(ros, ECHO, [(name, cdr.hex()) for name, cdr in sent])]
    for (name, cdr), echo in zip(sent, echoed, strict=True):
        theirs = echo[: len(cdr)]
        assert {our_byte for our_byte, their_byte in zip(cdr, theirs, strict=True) if our_byte != their_byte} <= {0}, (
            name
        )
        assert serialize(deserialize(theirs, name), name) == cdr, name
    without_padding = [(cdr, echo) for (name, cdr), echo in zip(sent, echoed, strict=True) if name in WITHOUT_PADDING]
    assert len(without_padding) == 3 * len(WITHOUT_PADDING)
    assert [cdr for cdr, _ in without_padding] == [echo for _, echo in without_padding]


WITHOUT_PADDING = [
    "geometry_msgs/msg/Pose",
    "geometry_msgs/msg/Polygon",
    "geometry_msgs/msg/PoseWithCovariance",
    "geometry_msgs/msg/TwistWithCovariance",
    "geometry_msgs/msg/AccelWithCovariance",
    "unique_identifier_msgs/msg/UUID",
    "builtin_interfaces/msg/Duration",
]
"""Most of what PredictedObjects are made of."""


_NUMPY_NAMES = {"byte": "int8", "char": "uint8"}
"""rosbags packs a byte as if it had a sign; on the wire it is the same."""


def random_message(rng: np.random.Generator, name: str) -> Any:
    fields = [field for field in typestore().fielddefs[name][1] if field[0] != "structure_needs_at_least_one_member"]
    return make(name, **{field: random_value(rng, kind) for field, kind in fields})


def random_value(rng: np.random.Generator, kind: Any) -> Any:
    node, rest = kind
    if node == Nodetype.NAME:
        return random_message(rng, rest)
    if node == Nodetype.BASE:
        return random_primitive(rng, rest[0])
    element, length = rest
    count = length if node == Nodetype.ARRAY else int(rng.integers(0, min(length or 4, 4) + 1))
    values = [random_value(rng, element) for _ in range(count)]
    if element[0] == Nodetype.BASE and element[1][0] != "string":
        return np.array(values, dtype=_NUMPY_NAMES.get(element[1][0], element[1][0]))
    return values


def random_primitive(rng: np.random.Generator, name: str) -> Any:
    if name == "string":
        return "".join(rng.choice(list("abc δ/"), int(rng.integers(0, 9))))
    if name == "bool":
        return bool(rng.integers(0, 2))
    if name.startswith("float"):
        return float(np.dtype(name).type(rng.normal()))
    integer = np.iinfo(_NUMPY_NAMES.get(name, name))
    return int(rng.integers(integer.min, integer.max, dtype=integer.dtype, endpoint=True))


LISTEN = """
import json, sys, time
import rclpy
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2

messages = [(kind, bytes.fromhex(cdr)) for kind, cdr in zip((Odometry, PointCloud2), json.load(sys.stdin))]
rclpy.init()
node = rclpy.create_node("listener")
heard = {}
latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
publishers = [node.create_publisher(kind, f"/topic{i}", latched) for i, (kind, _) in enumerate(messages)]
for publisher, (_, cdr) in zip(publishers, messages):
    publisher.publish(cdr)
for i, (kind, _) in enumerate(messages):
    node.create_subscription(kind, f"/topic{i}", lambda message, i=i: heard.__setitem__(i, message), latched)
end = time.time() + 20
while len(heard) < len(messages) and time.time() < end:
    rclpy.spin_once(node, timeout_sec=0.1)
odometry, cloud = heard[0], heard[1]
print(json.dumps({
    "frame": odometry.header.frame_id,
    "x": odometry.pose.pose.position.x,
    "covariance": list(odometry.pose.covariance),
    "points": bytes(cloud.data).hex(),
    "fields": [field.name for field in cloud.fields],
}))
"""


def test_a_stock_rclpy_subscription_takes_our_messages(ros: Path) -> None:
    rng = np.random.default_rng(1)
    odometry = random_message(rng, "nav_msgs/msg/Odometry")
    cloud = random_message(rng, "sensor_msgs/msg/PointCloud2")
    cloud.data = rng.integers(0, 256, 1600, np.uint8)
    sent = [serialize(odometry, "nav_msgs/msg/Odometry"), serialize(cloud, "sensor_msgs/msg/PointCloud2")]
    heard = run_in_ros(ros, LISTEN, [cdr.hex() for cdr in sent])
    assert heard == {
        "frame": odometry.header.frame_id,
        "x": odometry.pose.pose.position.x,
        "covariance": odometry.pose.covariance.tolist(),
        "points": cloud.data.tobytes().hex(),
        "fields": [field.name for field in cloud.fields],
    }
