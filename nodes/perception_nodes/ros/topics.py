"""ROS publishers, subscriptions and services on a zenoh session, in any of the forms of `perception_nodes.ros.wire`.

Reliable means that zenoh retransmits on a link. If a receiver cannot keep up, messages are dropped all the same, as in
rmw_zenoh, unless all are to be kept. The publisher of a latched topic keeps its last messages, and sends them to
subscriptions that join late.
"""

from __future__ import annotations

import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import zenoh
import zenoh.ext

from perception.errors import InputError
from perception_nodes.failure_log import FailureLog
from perception_nodes.ros.cdr_payload import MAX_MESSAGE_BYTES
from perception_nodes.ros.wire import Attachment, Entity, Qos, Role, Topic, Wire
from perception_nodes.security.listening import expect_guarded

if TYPE_CHECKING:
    from perception_nodes.security.identity import Identity

_HEARTBEAT_S = 0.5
_LOOK_S = 2.0
_FIND_MS = 3000
_ALL = 1_000_000
"""The depth that stands for all messages, since zenoh needs a number."""
LOST = " (lost on the way)"
"""Ends the subject of failures that count messages which were sent to a topic and did not arrive."""
_MAX_SENDERS = 256
"""Maximum number of a topic's publishers whose numbers are remembered; those heard least recently are forgotten."""

_log = logging.getLogger(__name__)


class NoRouter(ConnectionError):
    """No router was found that accepts a certificate; one may start later."""


def open_session(
    connect: Sequence[str] = ("tcp/127.0.0.1:7447",),
    listen: Sequence[str] = ("tcp/127.0.0.1:0",),
    *,
    allow_unencrypted: bool = False,
) -> zenoh.Session:
    """Opens a peer on loopback, as rmw_zenoh does; it meets others through the router at 7447 if there is one.

    Args:
        connect: Endpoints of a router or peers; it keeps trying to connect while the session lives.
        listen: Endpoints where peers may connect. Two peers of a router that do not listen never exchange data.
        allow_unencrypted: Listens beyond loopback too, where anybody may join.
    """
    for place in listen:
        expect_guarded(place, guarded=allow_unencrypted)
    config = zenoh_config(
        {
            "mode": "peer",
            "connect/endpoints": list(connect),
            "listen/endpoints": list(listen),
            "scouting/gossip/enabled": True,
            "timestamping/enabled": True,  # latched topics need it
            "queries_default_timeout": 600_000,  # ms, as rmw_zenoh's
        }
    )
    return zenoh.open(config)


def open_secure_session(router: str, identity: Identity) -> zenoh.Session:
    """Opens a client of a router that asks for certificates; all its messages go through the router.

    It does not listen, so that the router alone decides who may reach it.

    Args:
        router: Endpoint of the router, such as tls/127.0.0.1:7447. The session connects again when the router restarts.
        identity: Identity to show to the router.

    Raises:
        InputError: The endpoint is not one of TLS.
        NoRouter: No router was found within three seconds, or none that accepts the certificate.
    """
    if not router.startswith("tls/"):
        raise InputError(f"{router}: expected tls/HOST:PORT, since there are certificates; change the protocol")
    settings = {
        "mode": "client",
        "connect/endpoints": [router],
        "connect/timeout_ms": _FIND_MS,
        "timestamping/enabled": True,
        "queries_default_timeout": 600_000,
    }
    try:
        return zenoh.open(zenoh_config({**settings, **identity.zenoh_settings(accepts=False)}))
    except zenoh.ZError as error:
        raise NoRouter(
            f"{router}: expected a router that accepts {identity.certificate}, and that {identity.ca} signed, found "
            f"none within {_FIND_MS / 1e3:g} s ({error}); start it, or compare the certificates"
        ) from error


def zenoh_config(settings: Mapping[str, object]) -> zenoh.Config:
    """Returns a configuration without multicast scouting, and with our bound on the size of messages."""
    config = zenoh.Config()
    bounds = {"scouting/multicast/enabled": False, "transport/link/rx/max_message_size": MAX_MESSAGE_BYTES}
    for key, value in {**settings, **bounds}.items():
        config.insert_json5(key, json.dumps(value))
    return config


@dataclass(frozen=True)
class Received:
    """A received message.

    Attributes:
        cdr: The payload.
        attachment: Number, stamp and sender, if the form sends them.
    """

    cdr: bytes
    attachment: Attachment | None


class RosNode:
    """A ROS node on a zenoh session: announces itself, its publishers, subscriptions and services.

    A session has one node, since entities are numbered by node. Closing the node withdraws everything, and leaves the
    session open.

    Attributes:
        failures: Counts and logs what came and could not be used, by topic or service.
    """

    def __init__(self, session: zenoh.Session, wire: Wire) -> None:
        self._session = session
        self._wire = wire
        self._zid = str(session.zid())
        self._numbers = itertools.count(1)
        self.failures = FailureLog(_log)
        self._open = ExitStack()
        self._open.callback(_announce(session, wire.node_token(self._zid)))

    @property
    def name(self) -> str:
        """Name of the node; empty if the form has none."""
        return getattr(self._wire, "node", "")

    def publisher(self, topic: Topic) -> Publisher:
        """Announces a publisher, which exists until the node is closed."""
        token = self._wire.token(Role.PUBLISHER, topic, self._zid, next(self._numbers))
        publisher = _declare_publisher(self._session, self._wire.key(topic), topic.qos)
        self._open.callback(publisher.undeclare)
        self._open.callback(_announce(self._session, token))
        return Publisher(publisher, self._wire, token)

    def subscribe(self, topic: Topic, callback: Callable[[Received], None]) -> Subscription:
        """Announces a subscription, which exists until the node is closed.

        Args:
            topic: Topic to subscribe to.
            callback: Runs on zenoh's thread, one message at a time, so it must hand over and return. What it raises
                goes to `failures`, and the next message is taken.
        """
        token = self._wire.token(Role.SUBSCRIPTION, topic, self._zid, next(self._numbers))
        subscription = Subscription(topic.name, callback, self.failures)
        subscriber = _declare_subscriber(self._session, self._wire.key(topic), topic.qos, subscription.take)
        self._open.callback(subscriber.undeclare)
        self._open.callback(_announce(self._session, token))
        return subscription

    def serve(self, service: Topic, answer: Callable[[bytes, Callable[[bytes], None]], None]) -> None:
        """Announces a service, which exists until the node is closed.

        Args:
            service: Service to answer.
            answer: Gets a request's CDR, and a function that sends the response's CDR: to be called once, at any time,
                from any thread. It runs on zenoh's thread, so it must hand over and return.
        """
        token = self._wire.token(Role.SERVICE, service, self._zid, next(self._numbers))
        key = self._wire.key(service)
        take = _Service(service.name, key, answer, self.failures).take
        queryable = self._session.declare_queryable(key, take, complete=True)
        self._open.callback(queryable.undeclare)
        self._open.callback(_announce(self._session, token))

    def others_at(self, name: str) -> list[Entity]:
        """Returns who else announces a topic of this name; nothing arrives from those of another type or hash."""
        return [entity for entity in self.others() if entity.topic.name == name]

    def others(self) -> list[Entity]:
        """Returns what all others announce; nothing in a form without tokens."""
        if self._wire.everyone is None:
            return []
        replies = self._session.liveliness().get(self._wire.everyone, timeout=_LOOK_S)
        entities = [self._wire.entity(str(reply.ok.key_expr)) for reply in replies if reply.ok]
        return [entity for entity in entities if entity and entity.zid != self._zid]

    def close(self) -> None:
        """Withdraws everything in reverse order, the node last."""
        self._open.close()

    def __enter__(self) -> RosNode:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Publisher:
    """Sends CDR messages to a topic, from any thread."""

    def __init__(self, publisher: zenoh.ext.AdvancedPublisher, wire: Wire, token: str | None) -> None:
        self._publisher = publisher
        self._wire = wire
        self._token = token
        self._sent = 0
        self._lock = threading.Lock()

    def put(self, cdr: bytes | bytearray) -> None:
        """Sends one message."""
        with self._lock:  # numbers must be sent in order
            self._sent += 1
            self._publisher.put(cdr, attachment=self._wire.attachment(self._sent, time.time_ns(), self._token))


class Subscription:
    """Hands a topic's messages to a callback; exceptions, which zenoh would swallow, go to the node's failures.

    Numbers that a publisher has left out are counted there too: those messages were lost on the way.
    """

    def __init__(self, name: str, callback: Callable[[Received], None], failures: FailureLog) -> None:
        self._name = name
        self._callback = callback
        self._failures = failures
        self._last_numbers: dict[bytes, int] = {}

    def take(self, sample: zenoh.Sample) -> None:
        """Called by zenoh."""
        try:
            sent = sample.attachment
            attachment = Attachment.from_bytes(sent.to_bytes()) if sent else None
            if attachment is not None:
                self._count_lost(attachment)
            self._callback(Received(sample.payload.to_bytes(), attachment))
        except Exception as error:
            self._failures.add(self._name, error)

    def _count_lost(self, attachment: Attachment) -> None:
        """Counts the numbers between a publisher's last message and this one. An older one was counted already."""
        number, gid = attachment.sequence_number, attachment.gid
        last = self._last_numbers.pop(gid, number - 1)
        self._last_numbers[gid] = max(number, last)
        if len(self._last_numbers) > _MAX_SENDERS:
            del self._last_numbers[next(iter(self._last_numbers))]
        missed = number - last - 1
        if missed > 0:
            what = f"{missed} messages" if missed > 1 else "a message"
            error = ConnectionError(f"{what} before number {number} of publisher {gid.hex()[:8]} did not arrive")
            self._failures.add(self._name + LOST, error, missed)


@dataclass(frozen=True)
class _Service:
    """Hands a service's requests to a function that answers them; a request's attachment is its response's too."""

    name: str
    key: str
    answer: Callable[[bytes, Callable[[bytes], None]], None]
    failures: FailureLog

    def take(self, query: zenoh.Query) -> None:
        """Called by zenoh."""
        try:
            attachment = Attachment.from_bytes(query.attachment.to_bytes()) if query.attachment else None
            self.answer(query.payload.to_bytes() if query.payload else b"", partial(self._reply, query, attachment))
        except Exception as error:
            query.drop()  # the client need not wait
            self.failures.add(self.name, error)

    def _reply(self, query: zenoh.Query, attachment: Attachment | None, cdr: bytes) -> None:
        stamped = None if attachment is None else replace(attachment, stamp_ns=time.time_ns()).to_bytes()
        try:
            query.reply(self.key, cdr, attachment=stamped)
        except zenoh.ZError:
            self.failures.add(self.name, ConnectionError("a client went away before it was answered"))
        finally:
            query.drop()  # the answer is complete only then


def _declare_publisher(session: zenoh.Session, key: str, qos: Qos) -> zenoh.ext.AdvancedPublisher:
    """Declares a publisher with the options of rmw_zenoh's."""
    keeps_all = qos.reliable and qos.depth is None
    latch = {}
    if qos.latched:
        latch = {"cache": zenoh.ext.CacheConfig(_depth(qos)), "publisher_detection": True}
    if qos.latched and qos.reliable:
        heartbeat = zenoh.ext.MissDetectionConfig(heartbeat=None, sporadic_heartbeat=_HEARTBEAT_S)
        latch["sample_miss_detection"] = heartbeat
    return zenoh.ext.declare_advanced_publisher(
        session,
        key,
        congestion_control=zenoh.CongestionControl.BLOCK if keeps_all else zenoh.CongestionControl.DROP,
        reliability=zenoh.Reliability.RELIABLE if qos.reliable else zenoh.Reliability.BEST_EFFORT,
        **latch,
    )


def _declare_subscriber(
    session: zenoh.Session, key: str, qos: Qos, take: Callable[[zenoh.Sample], None]
) -> zenoh.ext.AdvancedSubscriber[None]:
    """Declares a subscriber with the options of rmw_zenoh's."""
    latch = {}
    if qos.latched:
        history = zenoh.ext.HistoryConfig(detect_late_publishers=True, max_samples=_depth(qos))
        latch = {"history": history, "subscriber_detection": True}
    if qos.latched and qos.reliable:
        latch["recovery"] = zenoh.ext.RecoveryConfig(periodic_queries=None, heartbeat=True)
    return zenoh.ext.declare_advanced_subscriber(session, key, take, **latch)


def _depth(qos: Qos) -> int:
    return _ALL if qos.depth is None else qos.depth


def _announce(session: zenoh.Session, token: str | None) -> Callable[[], object]:
    """Declares a liveliness token; returns the function that withdraws it."""
    return session.liveliness().declare_token(token).undeclare if token else lambda: None
