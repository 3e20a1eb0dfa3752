from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.errors import InputError
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.wire import (
    LATCHED,
    NO_HASH,
    RELIABLE,
    SENSOR_DATA,
    Attachment,
    Plain,
    Qos,
    RmwZenoh,
    Role,
    Ros2Dds,
    Topic,
    gid_of,
)

HASH = "RIHS01_9198cabf7da3796ae6fe19c4cb3bdd3525492988c70522628af5daa124bae2b5"
CLOUD = Topic("/points", "sensor_msgs/msg/PointCloud2", HASH, SENSOR_DATA)

names = st.from_regex(r"(/[A-Za-z_][A-Za-z0-9_]{0,5}){1,3}", fullmatch=True)
qualities = st.builds(Qos, st.booleans(), st.booleans(), st.none() | st.integers(1, 100))
topics = st.builds(Topic, names, st.just("sensor_msgs/msg/PointCloud2"), st.just(HASH), qualities)
roles = st.sampled_from(Role)


def test_rmw_zenoh_puts_payloads_where_ros_does() -> None:
    assert RmwZenoh().key(CLOUD) == f"0/points/sensor_msgs::msg::dds_::PointCloud2_/{HASH}"
    assert RmwZenoh(domain=7).key(Topic("/a/b", "std_srvs/srv/SetBool", HASH)) == (
        f"7/a/b/std_srvs::srv::dds_::SetBool_/{HASH}"
    )


def test_humble_is_told_no_hash() -> None:
    assert RmwZenoh(hashes=False).key(CLOUD).endswith(f"/{NO_HASH}")


def test_rmw_zenoh_announces_nodes_and_entities_as_ros_does() -> None:
    wire = RmwZenoh(node="talker", namespace="/robot")
    assert wire.node_token("abc") == "@ros2_lv/0/abc/0/0/NN/%/%robot/talker"
    assert wire.token(Role.PUBLISHER, CLOUD, "abc", 3) == (
        f"@ros2_lv/0/abc/0/3/MP/%/%robot/talker/%points/sensor_msgs::msg::dds_::PointCloud2_/{HASH}/2::,5:,:,:,,"
    )
    assert RmwZenoh(node="talker").node_token("abc") == "@ros2_lv/0/abc/0/0/NN/%/%/talker"


@pytest.mark.parametrize(
    ("qos", "rmw", "dds"),
    [
        (RELIABLE, "::,10:,:,:,,", ":1:0:0,10"),
        (SENSOR_DATA, "2::,5:,:,:,,", ":0:0:0,5"),
        (LATCHED, ":1:,1:,:,:,,", ":1:1:0,1"),
        (Qos(depth=42), "::,:,:,:,,", ":1:0:0,42"),
        (Qos(depth=None), "::2,:,:,:,,", ":1:0:1,-1"),
    ],
)
def test_quality_of_service_is_said_in_each_forms_own_numbers(qos: Qos, rmw: str, dds: str) -> None:
    topic = Topic("/points", CLOUD.type, HASH, qos)
    assert RmwZenoh().token(Role.SUBSCRIPTION, topic, "z", 1).rsplit("/", 1)[1] == rmw
    assert Ros2Dds().token(Role.SUBSCRIPTION, topic, "z", 1).rsplit("/", 1)[1] == dds


def test_a_bridge_is_met_at_the_bare_name() -> None:
    wire = Ros2Dds(namespace="/robot1")
    assert Ros2Dds().key(CLOUD) == "points"
    assert wire.key(CLOUD) == "robot1/points"
    assert wire.token(Role.PUBLISHER, CLOUD, "abc", 1) == (
        "@/abc/@ros2_lv/MP/robot1§points/sensor_msgs§msg§PointCloud2/:0:0:0,5"
    )
    service = Topic("/set", "std_srvs/srv/SetBool", HASH)
    assert Ros2Dds().token(Role.SERVICE, service, "abc", 1) == "@/abc/@ros2_lv/SS/set/std_srvs§srv§SetBool"
    assert wire.node_token("abc") is None
    assert wire.attachment(1, 2, "token") is None


def test_the_plain_form_is_the_name_alone() -> None:
    assert Plain().key(CLOUD) == "points"
    assert Plain().token(Role.PUBLISHER, CLOUD, "abc", 1) is None


@settings(deadline=None, max_examples=50)
@given(topic=topics, role=roles, domain=st.integers(0, 232), namespace=st.just("/") | names, entity=st.integers(1, 99))
def test_a_token_of_rmw_zenoh_reads_as_the_entity_it_announces(
    topic: Topic, role: Role, domain: int, namespace: str, entity: int
) -> None:
    wire = RmwZenoh("talker", namespace, domain)
    read = wire.entity(wire.token(role, topic, "0a1b", entity))
    assert read is not None
    assert (read.role, read.topic, read.zid) == (role, topic, "0a1b")
    assert read.node == f"{namespace.rstrip('/')}/talker"


@pytest.mark.parametrize("extra", ["cuda:1,cpu:1", "", "%", "a/b/c"])
def test_a_token_with_further_fields_reads_as_without_them(extra: str) -> None:
    """ROS 2 Lyrical's rmw_zenoh (0.10.5) says there which buffers an endpoint can share."""
    token = RmwZenoh("talker").token(Role.PUBLISHER, CLOUD, "0a1b", 3)
    read = RmwZenoh().entity(token)
    assert read is not None
    assert read.topic == CLOUD
    assert RmwZenoh().entity(f"{token}/{extra}") == read


@settings(deadline=None, max_examples=50)
@given(topic=topics, role=roles, namespace=st.just("/") | names)
def test_a_bridges_token_reads_as_the_entity_it_announces(topic: Topic, role: Role, namespace: str) -> None:
    wire = Ros2Dds(namespace)
    read = wire.entity(wire.token(role, topic, "0a1b", 1))
    assert read is not None
    assert (read.role, read.topic.name, read.topic.type, read.zid) == (role, topic.name, topic.type, "0a1b")
    if role in (Role.PUBLISHER, Role.SUBSCRIPTION):
        assert read.topic.qos == topic.qos


@settings(deadline=None, max_examples=100)
@given(
    token=st.text(max_size=60) | st.lists(st.sampled_from(["@ros2_lv", "0", "MP", "a", "%", "::,x", ""])).map("/".join)
)
def test_what_is_no_token_is_no_entity(token: str) -> None:
    assert RmwZenoh().entity(token) is None
    assert Ros2Dds().entity(token) is None


@settings(deadline=None, max_examples=30)
@given(st.builds(Attachment, st.integers(1, 2**63 - 1), st.integers(0, 2**63 - 1), st.binary(min_size=16, max_size=16)))
def test_an_attachment_has_33_bytes_and_reads_back(attachment: Attachment) -> None:
    data = attachment.to_bytes()
    assert len(data) == 33
    assert Attachment.from_bytes(data) == attachment


def test_an_attachment_is_laid_out_as_zenoh_serialises_it() -> None:
    zenoh_ext = pytest.importorskip("zenoh.ext")
    gid = bytes(range(16))
    numbers = [zenoh_ext.z_serialize(zenoh_ext.Int64(n)).to_bytes() for n in (5, -7)]
    expected = b"".join(numbers) + zenoh_ext.z_serialize(gid).to_bytes()
    assert Attachment(5, -7, gid).to_bytes() == expected


@pytest.mark.parametrize("data", [b"", bytes(32), bytes(33), bytes(34), b"\x0f" * 33])
def test_what_is_no_attachment_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage, match="attachment"):
        Attachment.from_bytes(data)


def test_the_gid_is_the_tokens_hash_lower_half_first() -> None:
    """XXH3-128 of nothing is 99aa06d3014798d86001c324468d497f (xxHash's own test vector)."""
    assert gid_of("") == bytes.fromhex("99aa06d3014798d86001c324468d497f")[::-1]
    token = RmwZenoh().token(Role.PUBLISHER, CLOUD, "abc", 1)
    assert Attachment.from_bytes(RmwZenoh().attachment(1, 2, token)).gid == gid_of(token)


@pytest.mark.parametrize("name", ["points", "/", "/points/", "/a//b", "/a*", "/1a", "/a b", ""])
def test_a_name_that_ros_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="topic name"):
        Topic(name, "sensor_msgs/msg/PointCloud2", HASH)
