"""How ROS 2 topics are named on zenoh: the forms of rmw_zenoh, of zenoh-bridge-ros2dds, and of no ROS at all.

`RmwZenoh` meets ROS nodes that run on rmw_zenoh (Jazzy and later; Humble with `hashes=False`), `Ros2Dds` meets DDS
nodes behind zenoh-bridge-ros2dds, `Plain` is for peers that only know keys. The payload is the same CDR in all three.

Sources: ros2/rmw_zenoh `liveliness_utils.cpp`, `attachment_helpers.cpp`, `qos.cpp`; eclipse-zenoh/zenoh-plugin-ros2dds
`liveliness_mgt.rs`, `route_subscriber.rs`.
"""

from __future__ import annotations

import re
import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum

from xxhash import xxh3_128

from perception.errors import InputError
from perception_nodes.ros.cdr_payload import MalformedMessage

NO_HASH = "TypeHashNotSupported"
"""What Humble, which knows no type hashes, writes in their place."""

_RMW_DEFAULT_DEPTH = 42
_ATTACHMENT = struct.Struct("<qqB16s")
_NAME = re.compile(r"(/[A-Za-z_]\w*)+", re.ASCII)


class Role(Enum):
    """What an entity does with a topic or service, as liveliness tokens say it."""

    PUBLISHER = "MP"
    SUBSCRIPTION = "MS"
    SERVICE = "SS"
    CLIENT = "SC"


@dataclass(frozen=True)
class Qos:
    """The part of ROS 2's quality of service that reaches the wire.

    Attributes:
        reliable: Or best effort.
        latched: ROS's TRANSIENT_LOCAL: who joins late is sent the last messages.
        depth: How many of the last messages are kept; None keeps all.
    """

    reliable: bool = True
    latched: bool = False
    depth: int | None = 10


RELIABLE = Qos()
SENSOR_DATA = Qos(reliable=False, depth=5)
LATCHED = Qos(latched=True, depth=1)


@dataclass(frozen=True)
class Topic:
    """A topic or a service.

    Attributes:
        name: Absolute, such as /perception/objects.
        type: Such as sensor_msgs/msg/PointCloud2.
        type_hash: Its RIHS01 hash.
    """

    name: str
    type: str
    type_hash: str
    qos: Qos = RELIABLE

    def __post_init__(self) -> None:
        expect_name(self.name)


def expect_name(name: str) -> None:
    """Refuses what is no name of a topic or a service."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"topic name {name!r}: expected an absolute ROS name such as /perception/objects, "
            "of letters, digits and underscores between slashes"
        )


@dataclass(frozen=True)
class Attachment:
    """What rmw_zenoh sends beside each payload; a ROS subscription drops messages without it.

    Attributes:
        sequence_number: Counts the publisher's messages, from one.
        stamp_ns: When it was sent, on the system clock.
        gid: Names the publisher.
    """

    sequence_number: int
    stamp_ns: int
    gid: bytes

    def to_bytes(self) -> bytes:
        """33 bytes: two int64, and the gid as zenoh serialises a list of 16."""
        return _ATTACHMENT.pack(self.sequence_number, self.stamp_ns, len(self.gid), self.gid)

    @classmethod
    def from_bytes(cls, data: bytes) -> Attachment:
        """What `to_bytes` wrote; raises `MalformedMessage`."""
        if len(data) != _ATTACHMENT.size or data[16] != 16:
            raise MalformedMessage(f"attachment {data[:40].hex()}; expected 33 bytes, the 17th of them 10")
        sequence_number, stamp_ns, _, gid = _ATTACHMENT.unpack(data)
        return cls(sequence_number, stamp_ns, gid)


@dataclass(frozen=True)
class Entity:
    """A publisher, subscription, service or client that somebody announced.

    Attributes:
        zid: Of its zenoh session.
        node: Full name of its ROS node; None where the form does not say.
    """

    role: Role
    topic: Topic
    zid: str
    node: str | None


class Wire(ABC):
    """One way to name ROS topics on zenoh. Tokens are liveliness keys, by which the ROS graph sees who is there."""

    everyone: str | None = None
    """Matches the tokens of all entities; None where the form has no tokens."""

    @abstractmethod
    def key(self, topic: Topic) -> str:
        """The key that the topic's payloads are put to."""

    def node_token(self, zid: str) -> str | None:  # noqa: ARG002
        """Shows the node to `ros2 node list`."""
        return None

    def token(self, role: Role, topic: Topic, zid: str, entity: int) -> str | None:  # noqa: ARG002
        """Shows an entity to `ros2 topic list`; `entity` is a number of its own in the session, from 1."""
        return None

    def entity(self, token: str) -> Entity | None:  # noqa: ARG002
        """Whose token this is; None for a node's, and for what is no token."""
        return None

    def attachment(self, sequence_number: int, stamp_ns: int, token: str | None) -> bytes | None:  # noqa: ARG002
        """What goes beside a payload, from the publisher with that token."""
        return None


@dataclass(frozen=True)
class RmwZenoh(Wire):
    """As rmw_zenoh names topics.

    Attributes:
        node: Name of the ROS node.
        namespace: Of the node; / is the root.
        domain: ROS_DOMAIN_ID.
        hashes: False for peers on Humble.
    """

    node: str = "perception"
    namespace: str = "/"
    domain: int = 0
    hashes: bool = True

    @property
    def everyone(self) -> str:
        """Of the same ROS domain."""
        return f"@ros2_lv/{self.domain}/**"

    def key(self, topic: Topic) -> str:
        """Domain, name, DDS type and type hash: nodes that mean different messages never meet."""
        return f"{self.domain}/{topic.name[1:]}/{_dds_type(topic.type)}/{self._hash(topic)}"

    def node_token(self, zid: str) -> str:
        """The node's number in the session is 0."""
        return f"@ros2_lv/{self.domain}/{zid}/0/0/NN/{self._node}"

    def token(self, role: Role, topic: Topic, zid: str, entity: int) -> str:
        """Domain, session, numbers of node and entity, role, the node's name, then the topic."""
        named = f"{topic.name.replace('/', '%')}/{_dds_type(topic.type)}/{self._hash(topic)}/{_rmw_qos(topic.qos)}"
        return f"@ros2_lv/{self.domain}/{zid}/0/{entity}/{role.value}/{self._node}/{named}"

    def entity(self, token: str) -> Entity | None:
        """The inverse of `token`."""
        match token.split("/"):
            case ["@ros2_lv", _, zid, _, _, role, _, namespace, node, name, dds_type, type_hash, qos]:
                pass
            case _:
                return None
        try:
            topic = Topic(name.replace("%", "/"), _ros_type(dds_type), type_hash, _parse_rmw_qos(qos))
            return Entity(Role(role), topic, zid, f"{namespace.replace('%', '/').rstrip('/')}/{node}")
        except ValueError:
            return None

    def attachment(self, sequence_number: int, stamp_ns: int, token: str | None) -> bytes:
        """Numbered, stamped and signed with the publisher's gid."""
        return Attachment(sequence_number, stamp_ns, gid_of(token or "")).to_bytes()

    @property
    def _node(self) -> str:
        return f"%/{self.namespace.replace('/', '%')}/{self.node}"  # the first is the empty security enclave

    def _hash(self, topic: Topic) -> str:
        return topic.type_hash if self.hashes else NO_HASH


@dataclass(frozen=True)
class Ros2Dds(Wire):
    """As zenoh-bridge-ros2dds names topics: the ROS name alone, so nobody checks the type.

    Attributes:
        namespace: The bridge's `namespace` option; / adds nothing.
    """

    namespace: str = "/"
    everyone = "@/*/@ros2_lv/**"

    def key(self, topic: Topic) -> str:
        """The bridge's namespace and the topic's name."""
        return f"{self.namespace.rstrip('/')}{topic.name}"[1:]

    def token(self, role: Role, topic: Topic, zid: str, entity: int) -> str:  # noqa: ARG002
        """Session, role, key, type; of topics also the quality of service."""
        parts = [self.key(topic).replace("/", "§"), topic.type.replace("/", "§")]
        if role in (Role.PUBLISHER, Role.SUBSCRIPTION):
            parts.append(_dds_qos(topic.qos))
        return f"@/{zid}/@ros2_lv/{role.value}/{'/'.join(parts)}"

    def entity(self, token: str) -> Entity | None:
        """The inverse of `token`."""
        match token.split("/"):
            case ["@", zid, "@ros2_lv", role, key, ros_type, *qos] if len(qos) <= 1:
                pass
            case _:
                return None
        name = f"/{key.replace('§', '/')}".removeprefix(self.namespace.rstrip("/"))
        try:
            quality = _parse_dds_qos(qos[0]) if qos else RELIABLE
            return Entity(Role(role), Topic(name, ros_type.replace("§", "/"), NO_HASH, quality), zid, None)
        except ValueError:
            return None


@dataclass(frozen=True)
class Plain(Wire):
    """The topic's name is the key, and nothing else is said: for peers of our own, and for tests."""

    def key(self, topic: Topic) -> str:
        """The name without its first slash."""
        return topic.name[1:]


def gid_of(token: str) -> bytes:
    """The sixteen bytes that name an entity: the hash of its token, lower half first, as rmw_zenoh computes it."""
    return xxh3_128(token.encode()).intdigest().to_bytes(16, "little")


def _dds_type(ros_type: str) -> str:
    package, kind, name = ros_type.split("/")
    return f"{package}::{kind}::dds_::{name}_"


def _ros_type(dds_type: str) -> str:
    package, kind, _, name = dds_type.split("::")
    return f"{package}/{kind}/{name.removesuffix('_')}"


def _rmw_qos(qos: Qos) -> str:
    """The enumerators of rmw, left out where they are its defaults; deadline, lifespan and liveliness are at theirs."""
    depth = "" if qos.depth in (None, _RMW_DEFAULT_DEPTH) else qos.depth
    history = 2 if qos.depth is None else ""
    return f"{'' if qos.reliable else 2}:{1 if qos.latched else ''}:{history},{depth}:,:,:,,"


def _parse_rmw_qos(text: str) -> Qos:
    reliability, durability, history, *_ = text.split(":")
    kind, depth = history.split(",")
    kept = None if kind == "2" else int(depth or _RMW_DEFAULT_DEPTH)
    return Qos(reliability != "2", durability == "1", kept)


def _dds_qos(qos: Qos) -> str:
    """The enumerators of DDS, which differ; nothing before the first colon says that the type has no key."""
    history = "1,-1" if qos.depth is None else f"0,{qos.depth}"
    return f":{int(qos.reliable)}:{int(qos.latched)}:{history}"


def _parse_dds_qos(text: str) -> Qos:
    _, reliability, durability, history, *_ = text.split(":")
    kind, depth = (history or "0,1").split(",")
    return Qos(reliability == "1", durability not in ("", "0"), None if kind == "1" else int(depth))
