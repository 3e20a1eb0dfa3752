from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.errors import InputError
from perception_nodes.ros import messages
from perception_nodes.ros.cdr_payload import MAX_MESSAGE_BYTES, MalformedMessage
from perception_nodes.ros.messages import deserialize, make, serialize, service_hash, service_of, type_hash

OWN = sorted(f"{p.parent.parent.name}/msg/{p.stem}" for p in messages.INTERFACES.glob("*/msg/*.msg"))
SET_BOOL = "bool data\n---\nbool success\nstring message\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # as ROS computes them: the first from Kilted's wheels, the others from Autoware's nodes
        ("sensor_msgs/msg/PointCloud2", "RIHS01_9198cabf7da3796ae6fe19c4cb3bdd3525492988c70522628af5daa124bae2b5"),
        (messages.TRACKED_OBJECTS, "RIHS01_3559bd4e62ce8a4d96e32720c02bbe656cc090bb2b3f3f91f52a7c3ab095417a"),
        (messages.PREDICTED_OBJECTS, "RIHS01_b63151309c3323bb6e3f09c54b3358aa53a8e66937a1cde15c5d5ede1ef80a08"),
        (
            "autoware_map_msgs/msg/LaneletMapBin",
            "RIHS01_6f9ffdc49d83a9dbf601c862dc49c556e0c70f4d9419e68887743aabfb9478f7",
        ),
    ],
)
def test_type_hashes_are_those_of_ros(name: str, expected: str) -> None:
    assert type_hash(name) == expected


def test_a_service_hash_is_that_of_ros() -> None:
    expected = "RIHS01_abe9e4bb6b41b40e6789712c00ec8871923e089af3f667a79992a428cff2da0a"  # from Kilted's wheels
    assert service_hash("std_srvs/srv/SetBool", SET_BOOL) == expected


def test_our_service_has_a_hash_and_changes_it_with_its_text() -> None:
    name = "scene_qa_msgs/srv/AskScene"
    text = (messages.INTERFACES / f"{name}.srv").read_text()
    assert service_hash(name, text) != service_hash(name, text.replace("question\n", "asked\n"))
    assert service_of("/ask", name).type_hash == service_hash(name, text)
    with pytest.raises(InputError, match="unknown service type 'scene_qa_msgs/srv/TellScene'"):
        service_of("/ask", "scene_qa_msgs/srv/TellScene")


@pytest.mark.parametrize("name", OWN)
def test_a_shipped_type_has_a_hash_and_no_char(name: str) -> None:
    assert re.fullmatch(r"RIHS01_[0-9a-f]{64}", type_hash(name))
    assert "char" not in messages.definition(name).replace("uint8", "").split()


def small_map() -> Any:
    stamp = make("builtin_interfaces/msg/Time", sec=1, nanosec=2)
    return make(
        messages.POLYLINE_MAP,
        header=make("std_msgs/msg/Header", stamp=stamp, frame_id="city"),
        map_id="PIT",
        ids=np.array([-1, 2**40]),
        kinds=np.array([0, 3], np.uint8),
        turns=np.array([0, 1], np.uint8),
        is_intersection=np.array([True, False]),
        has_traffic_control=np.array([False, True]),
        point_counts=np.array([2, 3], np.uint32),
        points=np.arange(10.0),
    )


def test_a_map_survives_the_wire() -> None:
    sent = small_map()
    received = deserialize(serialize(sent, messages.POLYLINE_MAP), messages.POLYLINE_MAP)
    assert received.header == sent.header
    for field in ("ids", "kinds", "turns", "is_intersection", "has_traffic_control", "point_counts", "points"):
        np.testing.assert_array_equal(getattr(received, field), getattr(sent, field), err_msg=field)


def test_an_answer_with_evidence_survives_the_wire() -> None:
    name = "scene_qa_msgs/msg/SceneAnswer"
    zero = make("builtin_interfaces/msg/Time", sec=0, nanosec=0)
    vector = make("geometry_msgs/msg/Vector3", x=1.0, y=2.0, z=3.0)
    point = make("geometry_msgs/msg/Point", x=1.0, y=2.0, z=3.0)
    pose = make(
        "geometry_msgs/msg/Pose", position=point, orientation=make("geometry_msgs/msg/Quaternion", x=0, y=0, z=0, w=1)
    )
    box = make("vision_msgs/msg/BoundingBox3D", center=pose, size=vector)
    evidence = make(
        "scene_qa_msgs/msg/Grounding",
        label="chair",
        object_id="7",
        score=0.5,
        box=box,
        point_indices=np.array([1, 2], np.uint32),
    )
    answer = make(
        name,
        header=make("std_msgs/msg/Header", stamp=zero, frame_id="scene"),
        question_id="q",
        status=4,
        reason="full",
        answer="on the chair",
        confidence=0.25,
        alternatives=["", "on the table"],
        alternative_confidences=np.array([0.5, 0.125], np.float32),
        evidence=[evidence],
        scene_version=2**40,
        scene_stamp=zero,
        latency_ms=12.5,
        model_id="m",
    )
    received = deserialize(serialize(answer, name), name)
    assert (received.answer, received.alternatives, received.confidence) == ("on the chair", ["", "on the table"], 0.25)
    assert (received.reason, received.scene_version) == ("full", 2**40)
    assert received.evidence[0].box == box


def test_broken_bytes_are_a_malformed_message() -> None:
    data = serialize(make("std_msgs/msg/String", data="hello"), "std_msgs/msg/String")
    for broken in (b"", data[:3], data[:9], b"\x00\x07" + data[2:], data + b"12345", data[:-1] + b"!"):
        with pytest.raises(MalformedMessage):
            deserialize(broken, "std_msgs/msg/String")


def test_a_message_beyond_the_limit_is_not_looked_at() -> None:
    with pytest.raises(MalformedMessage, match="expected at most"):
        deserialize(bytes(MAX_MESSAGE_BYTES + 1), "std_msgs/msg/String")


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(InputError, match=r"'std_msgs/msg/Strong'.*scene_qa_msgs"):
        type_hash("std_msgs/msg/Strong")


@settings(deadline=None, max_examples=200)
@given(at=st.floats(0, 1), noise=st.binary(max_size=12), skipped=st.integers(0, 12))
def test_a_mutated_map_is_refused_or_read_and_nothing_else(at: float, noise: bytes, skipped: int) -> None:
    data = serialize(small_map(), messages.POLYLINE_MAP)
    begin = int(at * len(data))
    try:
        deserialize(data[:begin] + noise + data[begin + skipped :], messages.POLYLINE_MAP)
    except MalformedMessage:
        return


@pytest.mark.parametrize("name", messages.MAX_BYTES)
def test_messages_that_take_much_more_memory_than_bytes_have_a_smaller_maximum(name: str) -> None:
    most = messages.MAX_BYTES[name]
    with pytest.raises(MalformedMessage, match=f"a {name} of {most + 1} bytes; expected at most {most}"):
        deserialize(bytes(most + 1), name)
