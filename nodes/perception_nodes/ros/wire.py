"""How ROS 2 topics are named on zenoh: the forms of rmw_zenoh, of zenoh-bridge-ros2dds, and a plain one without ROS.

`RmwZenoh` meets ROS nodes that run on rmw_zenoh (Jazzy and later; Humble with `hashes=False`), `Ros2Dds` meets DDS
nodes behind zenoh-bridge-ros2dds, `Plain` is for peers that know only keys. The payload is the same CDR in all three.

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
"""Humble has no type hashes, and writes this in their place."""

_RMW_DEFAULT_DEPTH = 42
_ATTACHMENT = struct.Struct("<qqB16s")
_NAME = re.compile(r"(/[A-Za-z_]\w*)+", re.ASCII)


class Role(Enum):
    """What an entity does with a topic or service, as written in liveliness tokens."""

    PUBLISHER = "MP"
    SUBSCRIPTION = "MS"
    SERVICE = "SS"
    CLIENT = "SC"


@dataclass(frozen=True)
class Qos:
    """The part of ROS 2's quality of service that reaches the wire.

    Attributes:
        reliable: Whether messages are reliable, or best effort.
        latched: Whether late subscribers get the last messages (TRANSIENT_LOCAL).
        depth: Number of the last messages that are kept; None keeps all.
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
        name: Absolute name, such as /perception/objects.
        type: Type of the messages, such as sensor_msgs/msg/PointCloud2.
        type_hash: RIHS01 hash of the type.
        qos: Quality of service.
    """

    name: str
    type: str
    type_hash: str
    qos: Qos = RELIABLE

    def __post_init__(self) -> None:
        expect_name(self.name)


def expect_name(name: str) -> None:
    """Refuses a text that is not an absolute name of a topic or service."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"topic name {name!r}: expected an absolute ROS name such as /perception/objects, "
            "of letters, digits and underscores between slashes"
        )


@dataclass(frozen=True)
class Attachment:
    """What rmw_zenoh sends with each payload; a ROS subscription drops messages without it.

    Attributes:
        sequence_number: Number of the message, counted by the publisher from one.
        stamp_ns: Time of sending on the system clock.
        gid: Identifier of the publisher.
    """

    sequence_number: int
    stamp_ns: int
    gid: bytes

    def to_bytes(self) -> bytes:
        """Returns 33 bytes: two int64, and the gid in zenoh's serialisation of a list of 16."""
        return _ATTACHMENT.pack(self.sequence_number, self.stamp_ns, len(self.gid), self.gid)

    @classmethod
    def from_bytes(cls, data: bytes) -> Attachment:
        """Returns the attachment that `to_bytes` wrote; raises `MalformedMessage`."""
        if len(data) != _ATTACHMENT.size or data[16] != 16:
            raise MalformedMessage(f"attachment {data[:40].hex()}; expected 33 bytes, the 17th of them 10")
        sequence_number, stamp_ns, _, gid = _ATTACHMENT.unpack(data)
        return cls(sequence_number, stamp_ns, gid)


@dataclass(frozen=True)
class Entity:
    """An announced publisher, subscription, service or client.

    Attributes:
        role: Which of them it is.
        topic: Its topic or service.
        zid: Identifier of its zenoh session.
        node: Full name of its ROS node; None if the form does not have it.
    """

    role: Role
    topic: Topic
    zid: str
    node: str | None


class Wire(ABC):
    """A way to name ROS topics on zenoh. Tokens are liveliness keys, from which the ROS graph is built."""

    everyone: str | None = None
    """Key expression of all entities' tokens; None if the form has no tokens."""

    @abstractmethod
    def key(self, topic: Topic) -> str:
        """Returns the key that the topic's payloads are put to."""

    def node_token(self, zid: str) -> str | None:  # noqa: ARG002
        """Returns the token that shows the node to `ros2 node list`."""
        return None

    def token(self, role: Role, topic: Topic, zid: str, entity: int) -> str | None:  # noqa: ARG002
        """Returns the token that shows an entity to `ros2 topic list`; `entity` is its number in the session."""
        return None

    def entity(self, token: str) -> Entity | None:  # noqa: ARG002
        """Returns the entity of a token; None for a node's token, and for a text that is not a token."""
        return None

    def attachment(self, sequence_number: int, stamp_ns: int, token: str | None) -> bytes | None:  # noqa: ARG002
        """Returns what is sent with a payload by the publisher of this token."""
        return None


@dataclass(frozen=True)
class RmwZenoh(Wire):
    """The form of rmw_zenoh.

    Attributes:
        node: Name of the ROS node.
        namespace: Namespace of the node; / is the root.
        domain: ROS_DOMAIN_ID.
        hashes: Whether keys have type hashes; False for peers on Humble.
    """

    node: str = "perception"
    namespace: str = "/"
    domain: int = 0
    hashes: bool = True

    @property
    def everyone(self) -> str:
        """Key expression of all entities' tokens in the same ROS domain."""
        return f"@ros2_lv/{self.domain}/**"

    def key(self, topic: Topic) -> str:
        """Returns domain, name, DDS type and type hash, so that nodes that mean different messages never meet."""
        return f"{self.domain}/{topic.name[1:]}/{_dds_type(topic.type)}/{self._hash(topic)}"

    def node_token(self, zid: str) -> str:
        """Returns the token of the node, whose number in the session is 0."""
        return f"@ros2_lv/{self.domain}/{zid}/0/0/NN/{self._node}"

    def token(self, role: Role, topic: Topic, zid: str, entity: int) -> str:
        """Returns domain, session, numbers of node and entity, role, the node's name, and the topic."""
        named = f"{topic.name.replace('/', '%')}/{_dds_type(topic.type)}/{self._hash(topic)}/{_rmw_qos(topic.qos)}"
        return f"@ros2_lv/{self.domain}/{zid}/0/{entity}/{role.value}/{self._node}/{named}"

    def entity(self, token: str) -> Entity | None:
        """The inverse of `token`. Fields after the last are ignored: from ROS 2 Lyrical on one may say more."""
        match token.split("/"):
            case ["@ros2_lv", _, zid, _, _, role, _, namespace, node, name, dds_type, type_hash, qos, *_]:
                pass
            case _:
                return None
        try:
            topic = Topic(name.replace("%", "/"), _ros_type(dds_type), type_hash, _parse_rmw_qos(qos))
            return Entity(Role(role), topic, zid, f"{namespace.replace('%', '/').rstrip('/')}/{node}")
        except ValueError:
            return None

    def attachment(self, sequence_number: int, stamp_ns: int, token: str | None) -> bytes:
        """Returns number, stamp and the publisher's gid."""
        return Attachment(sequence_number, stamp_ns, gid_of(token or "")).to_bytes()

    @property
    def _node(self) -> str:
        return f"%/{self.namespace.replace('/', '%')}/{self.node}"  # the first is the empty security enclave

    def _hash(self, topic: Topic) -> str:
        return topic.type_hash if self.hashes else NO_HASH


@dataclass(frozen=True)
class Ros2Dds(Wire):
    """The form of zenoh-bridge-ros2dds: the ROS name alone, so types are not checked.

    Attributes:
        namespace: The bridge's `namespace` option; / adds nothing.
    """

    namespace: str = "/"
    everyone = "@/*/@ros2_lv/**"

    def key(self, topic: Topic) -> str:
        """Returns the bridge's namespace and the topic's name."""
        return f"{self.namespace.rstrip('/')}{topic.name}"[1:]

    def token(self, role: Role, topic: Topic, zid: str, entity: int) -> str:  # noqa: ARG002
        """Returns session, role, key and type; for topics also the quality of service."""
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
    """A plain form: the topic's name is the key. For our own peers, and for tests."""

    def key(self, topic: Topic) -> str:
        """Returns the name without its first slash."""
        return topic.name[1:]


def gid_of(token: str) -> bytes:
    """Returns an entity's identifier of sixteen bytes: the hash of its token, lower half first, as in rmw_zenoh."""
    return xxh3_128(token.encode()).intdigest().to_bytes(16, "little")


def _dds_type(ros_type: str) -> str:
    package, kind, name = ros_type.split("/")
    return f"{package}::{kind}::dds_::{name}_"


def _ros_type(dds_type: str) -> str:
    package, kind, _, name = dds_type.split("::")
    return f"{package}/{kind}/{name.removesuffix('_')}"


def _rmw_qos(qos: Qos) -> str:
    """Returns rmw's enumerators, without those at their defaults; deadline, lifespan and liveliness always are."""
    depth = "" if qos.depth in (None, _RMW_DEFAULT_DEPTH) else qos.depth
    history = 2 if qos.depth is None else ""
    return f"{'' if qos.reliable else 2}:{1 if qos.latched else ''}:{history},{depth}:,:,:,,"


def _parse_rmw_qos(text: str) -> Qos:
    reliability, durability, history, *_ = text.split(":")
    kind, depth = history.split(",")
    kept = None if kind == "2" else int(depth or _RMW_DEFAULT_DEPTH)
    return Qos(reliability != "2", durability == "1", kept)


def _dds_qos(qos: Qos) -> str:
    """Returns DDS's enumerators, which differ from rmw's; an empty text before the first colon means "no key"."""
    history = "1,-1" if qos.depth is None else f"0,{qos.depth}"
    return f":{int(qos.reliable)}:{int(qos.latched)}:{history}"


def _parse_dds_qos(text: str) -> Qos:
    _, reliability, durability, history, *_ = text.split(":")
    kind, depth = (history or "0,1").split(",")
    return Qos(reliability == "1", durability not in ("", "0"), None if kind == "1" else int(depth))
