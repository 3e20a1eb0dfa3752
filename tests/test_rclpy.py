"""What we say without ROS, held to ROS itself: rclpy, Fast-CDR and rosidl from the `ros-kilted-*` wheels.

They live in a virtual environment of their own, built once (half a minute, 0.6 GB) in $PERCEPTION_CACHE or
~/.cache/frozen-perception. There are no wheels of Autoware's messages: with PERCEPTION_BUILD_ROS=1 they are built from
our .msg files, as every ROS user would (a minute or two, once; CMake and a C++ compiler needed).
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.interfaces import Nodetype

from perception_nodes.ros.cdr import (
    read_predicted_objects,
    read_tracked_objects,
    write_predicted_objects,
    write_tracked_objects,
)
from perception_nodes.ros.messages import (
    INTERFACES,
    PREDICTED_OBJECTS,
    TRACKED_OBJECTS,
    deserialize,
    make,
    serialize,
    service_hash,
    type_hash,
    typestore,
)

pytestmark = pytest.mark.slow

CACHE = Path(os.environ.get("PERCEPTION_CACHE", Path.home() / ".cache" / "frozen-perception"))
WHEELS = """
ros-kilted-rclpy ros-kilted-common-interfaces ros-kilted-rmw-fastrtps-cpp
ros-kilted-rosidl-default-generators ros-kilted-rosidl-core-generators catkin_pkg ros-kilted-ament-package
ros-kilted-ament-cmake ros-kilted-ament-cmake-ros-core ros-kilted-ament-cmake-include-directories
""".split()
"""The first line is ROS; the others build messages."""

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
    folder = CACHE / f"rclpy-kilted-py{sys.version_info.major}{sys.version_info.minor}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other workers wait for the first
        if not _is_complete(folder, WHEELS):
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
    (folder / "complete").write_text("\n".join(WHEELS))


def _is_complete(folder: Path, content: Sequence[str]) -> bool:
    marker = folder / "complete"
    return marker.exists() and marker.read_text().splitlines() == list(content)


def run_in_ros(ros: Path, script: str, request: object, **more: str) -> Any:
    """What a script, run by the environment's Python, makes of a request; both are JSON."""
    environment = {"HOME": os.environ["HOME"], "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", **more}
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
packages = ["autoware_perception_msgs", "autoware_map_msgs", "vision_msgs", "scene_qa_msgs", "forecast_msgs"]
for package in [*packages, "perception_node_msgs"]:
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
    """Random messages of every standard type go there and back."""
    rng = np.random.default_rng(0)
    names = [name for name, _, _ in described(ros, "msg") if name.split("/")[0] in STANDARD]
    assert len(names) > 120
    sent = [(name, serialize(random_message(rng, name), name)) for name in names for _ in range(3)]
    expect_equal_but_for_padding(sent, run_in_ros(ros, ECHO, [(name, cdr.hex()) for name, cdr in sent]))


def expect_equal_but_for_padding(sent: list[tuple[str, bytes]], echoed: list[str]) -> None:
    """Where rclpy leaves in padding what lay in its memory, we write zeros.

    rclpy also leaves some bytes at the end: it estimates the size of a message before it writes it.
    """
    for (name, cdr), echo in zip(sent, echoed, strict=True):
        theirs = bytes.fromhex(echo)[: len(cdr)]
        assert {our_byte for our_byte, their_byte in zip(cdr, theirs, strict=True) if our_byte != their_byte} <= {0}, (
            name
        )
        assert serialize(deserialize(theirs, name), name) == cdr, name


_NUMPY_NAMES = {"byte": "int8", "char": "uint8"}
"""rosbags packs a byte as if it had a sign; on the wire it is the same."""


def random_message(rng: np.random.Generator, name: str) -> Any:
    if name in ("builtin_interfaces/msg/Time", "builtin_interfaces/msg/Duration"):
        return make(name, sec=int(rng.integers(2**31)), nanosec=int(rng.integers(10**9)))
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


CMAKE = """
cmake_minimum_required(VERSION 3.20)
project(autoware_perception_msgs)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
set(needed geometry_msgs std_msgs unique_identifier_msgs builtin_interfaces)
foreach(package ${needed})
  find_package(${package} REQUIRED)
endforeach()
file(GLOB messages RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} msg/*.msg)
rosidl_generate_interfaces(${PROJECT_NAME} ${messages} DEPENDENCIES ${needed})
ament_package()
"""

PACKAGE = """<?xml version="1.0"?>
<package format="3">
  <name>autoware_perception_msgs</name>
  <version>0.0.1</version>
  <description>The .msg files of perception_nodes, built to test them.</description>
  <maintainer email="nobody@example.org">nobody</maintainer>
  <license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>geometry_msgs</depend>
  <depend>std_msgs</depend>
  <depend>unique_identifier_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
</package>
"""


@pytest.fixture(scope="session")
def autoware(ros: Path) -> Path:
    """A build of autoware_perception_msgs by ROS's own generators; only where it is asked for, since it takes long."""
    if not os.environ.get("PERCEPTION_BUILD_ROS"):
        pytest.skip("PERCEPTION_BUILD_ROS is not set; set it to build Autoware's messages (a minute or two, once)")
    source = INTERFACES / "autoware_perception_msgs" / "msg"
    texts = [path.read_text() for path in sorted(source.glob("*.msg"))]
    folder = ros / "autoware"
    with (ros / "autoware.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_complete(folder, "\n".join(texts).splitlines()):
            _build_autoware(ros, folder, source)
            (folder / "complete").write_text("\n".join(texts))
    return folder / "build"


def _build_autoware(ros: Path, folder: Path, source: Path) -> None:
    headers = Path(sysconfig.get_paths()["include"])
    missing = [tool for tool in ("cmake", "c++") if not shutil.which(tool)]
    missing += [] if (headers / "Python.h").exists() else ["Python.h"]
    if missing:
        pytest.skip(f"ROS messages cannot be built without {', '.join(missing)}")
    _name_own_python(ros, headers)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder / "msg")
    (folder / "CMakeLists.txt").write_text(CMAKE)
    (folder / "package.xml").write_text(PACKAGE)
    environment = os.environ | {"PATH": f"{ros}/bin:{os.environ['PATH']}", "CMAKE_PREFIX_PATH": str(ros)}
    environment["AMENT_PREFIX_PATH"] = str(ros)
    configure = ["cmake", "-S", ".", "-B", "build", "-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={ros}/bin/python"]
    for command in (configure, ["cmake", "--build", "build", "--parallel", "2"]):
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def _name_own_python(ros: Path, headers: Path) -> None:
    """The wheels' CMake files name the Python of the machine that built them; names ours in its place."""
    theirs = "/opt/python/cp311-cp311"
    for path in ros.glob("share/**/*.cmake"):
        text = path.read_text()
        if theirs in text:
            text = text.replace(f"{theirs}/include/python3.11", str(headers)).replace(theirs, str(ros))
            path.write_text(text)


def test_autowares_messages_are_read_and_written_as_by_rclpy(ros: Path, autoware: Path) -> None:
    """rclpy agrees with rosbags, and `perception_nodes.ros.cdr` with both."""
    rng = np.random.default_rng(2)
    names = [TRACKED_OBJECTS, PREDICTED_OBJECTS] * 20
    sent = [(name, serialize(random_message(rng, name), name)) for name in names]
    built = {"PYTHONPATH": str(autoware / "rosidl_generator_py"), "LD_LIBRARY_PATH": str(autoware)}
    expect_equal_but_for_padding(sent, run_in_ros(ros, ECHO, [(name, cdr.hex()) for name, cdr in sent], **built))
    assert [write_tracked_objects(read_tracked_objects(cdr)) for _, cdr in sent[::2]] == [cdr for _, cdr in sent[::2]]
    predicted = [cdr for _, cdr in sent[1::2]]
    assert [write_predicted_objects(read_predicted_objects(cdr)) for cdr in predicted] == predicted
    assert len(set(map(len, predicted))) > 10
