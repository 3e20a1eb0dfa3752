"""Publishers, subscriptions and services of ROS on a zenoh session, in any of the forms of `perception_nodes.ros.wire`.

Reliable means that zenoh retransmits on a link; when a receiver cannot keep up, messages are dropped all the same, as
in rmw_zenoh, unless all are to be kept. Latched topics keep their last messages with the publisher, who sends them to
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
from perception_nodes.ros.cdr_payload import MAX_MESSAGE_BYTES
from perception_nodes.ros.wire import Attachment, Entity, Qos, Role, Topic, Wire
from perception_nodes.security.listening import expect_guarded

if TYPE_CHECKING:
    from perception_nodes.security.identity import Identity

_HEARTBEAT_S = 0.5
_LOOK_S = 2.0
_FIND_MS = 3000
_ALL = 1_000_000
"""As a depth: more than any latched topic has, since zenoh wants a number."""

_log = logging.getLogger(__name__)


def open_session(
    connect: Sequence[str] = ("tcp/127.0.0.1:7447",),
    listen: Sequence[str] = ("tcp/127.0.0.1:0",),
    *,
    allow_unencrypted: bool = False,
) -> zenoh.Session:
    """A peer on loopback, as rmw_zenoh's own: it meets others through the router at 7447 when that is there.

    Args:
        connect: Where to look for a router or for peers; looking goes on while the session lives.
        listen: Where peers may connect. Without a place to listen at, two peers of a router never exchange data.
        allow_unencrypted: Listen beyond loopback too, where anybody may join.
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
    """A client of a router that asks for certificates: all that it sends and receives goes through there.

    It listens nowhere, so that the router alone decides who may reach it.

    Args:
        router: Such as tls/127.0.0.1:7447. When it goes away, it is looked for again while the session lives.
        identity: To show there.
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
        raise InputError(
            f"{router}: expected a router that takes {identity.certificate}, and that {identity.ca} vouches for, found "
            f"none within {_FIND_MS / 1e3:g} s ({error}); start it, or compare the certificates"
        ) from error


def zenoh_config(settings: Mapping[str, object]) -> zenoh.Config:
    """A session that looks for nobody by multicast and takes no message larger than ours are."""
    config = zenoh.Config()
    bounds = {"scouting/multicast/enabled": False, "transport/link/rx/max_message_size": MAX_MESSAGE_BYTES}
    for key, value in {**settings, **bounds}.items():
        config.insert_json5(key, json.dumps(value))
    return config


@dataclass(frozen=True)
class Received:
    """A message as it came.

    Attributes:
        cdr: The payload.
        attachment: Number, stamp and sender, where the form sends them.
    """

    cdr: bytes
    attachment: Attachment | None


class RosNode:
    """A node's place on a zenoh session: announces the node, its publishers and its subscriptions.

    There is one node a session, as entities are numbered by node. Closing it takes everything back, and leaves the
    session to its owner.
    """

    def __init__(self, session: zenoh.Session, wire: Wire) -> None:
        self._session = session
        self._wire = wire
        self._zid = str(session.zid())
        self._numbers = itertools.count(1)
        self._open = ExitStack()
        self._open.callback(_announce(session, wire.node_token(self._zid)))

    def publisher(self, topic: Topic) -> Publisher:
        """Announces a publisher, which lives until the node is closed."""
        token = self._wire.token(Role.PUBLISHER, topic, self._zid, next(self._numbers))
        publisher = _declare_publisher(self._session, self._wire.key(topic), topic.qos)
        self._open.callback(publisher.undeclare)
        self._open.callback(_announce(self._session, token))
        return Publisher(publisher, self._wire, token)

    def subscribe(self, topic: Topic, callback: Callable[[Received], None]) -> Subscription:
        """Announces a subscription, which lives until the node is closed.

        Args:
            topic: What to listen to.
            callback: Runs on zenoh's thread, one message at a time, so it must hand over and return.
        """
        token = self._wire.token(Role.SUBSCRIPTION, topic, self._zid, next(self._numbers))
        subscription = Subscription(topic.name, callback)
        subscriber = _declare_subscriber(self._session, self._wire.key(topic), topic.qos, subscription.take)
        self._open.callback(subscriber.undeclare)
        self._open.callback(_announce(self._session, token))
        return subscription

    def serve(self, service: Topic, answer: Callable[[bytes, Callable[[bytes], None]], None]) -> None:
        """Announces a service, which lives until the node is closed.

        Args:
            service: What to answer.
            answer: Is given a request's CDR, and what sends the response's: once, whenever it is ready, from any
                thread. It runs on zenoh's thread, so it must hand over and return.
        """
        token = self._wire.token(Role.SERVICE, service, self._zid, next(self._numbers))
        key = self._wire.key(service)
        queryable = self._session.declare_queryable(key, partial(_take_query, key, answer), complete=True)
        self._open.callback(queryable.undeclare)
        self._open.callback(_announce(self._session, token))

    def others_at(self, name: str) -> list[Entity]:
        """Who else announces a topic of this name: where type or hash differ from ours, that is why nothing arrives."""
        if self._wire.everyone is None:
            return []
        replies = self._session.liveliness().get(self._wire.everyone, timeout=_LOOK_S)
        entities = [self._wire.entity(str(reply.ok.key_expr)) for reply in replies if reply.ok]
        return [entity for entity in entities if entity and entity.topic.name == name and entity.zid != self._zid]

    def close(self) -> None:
        """Takes everything back in reverse order, the node last."""
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
        with self._lock:  # numbers must leave in order
            self._sent += 1
            self._publisher.put(cdr, attachment=self._wire.attachment(self._sent, time.time_ns(), self._token))


class Subscription:
    """Hands a topic's messages over.

    Attributes:
        failed: How many messages the callback failed on or had an attachment that is none. zenoh itself would swallow
            the exceptions; they are logged, and the next message is taken.
    """

    def __init__(self, name: str, callback: Callable[[Received], None]) -> None:
        self.failed = 0
        self._name = name
        self._callback = callback

    def take(self, sample: zenoh.Sample) -> None:
        """Called by zenoh."""
        try:
            sent = sample.attachment
            attachment = Attachment.from_bytes(sent.to_bytes()) if sent else None
            self._callback(Received(sample.payload.to_bytes(), attachment))
        except Exception:
            self.failed += 1
            _log.exception("a message of %s was lost", self._name)


def _take_query(key: str, answer: Callable[[bytes, Callable[[bytes], None]], None], query: zenoh.Query) -> None:
    """Hands a request over; its response says which request it is to, as rmw_zenoh's does."""
    try:
        asked = Attachment.from_bytes(query.attachment.to_bytes()) if query.attachment else None
        answer(query.payload.to_bytes() if query.payload else b"", partial(_reply, key, query, asked))
    except Exception:
        query.drop()  # the client need not wait
        _log.exception("a request for %s was lost", key)


def _reply(key: str, query: zenoh.Query, asked: Attachment | None, cdr: bytes) -> None:
    attachment = None if asked is None else replace(asked, stamp_ns=time.time_ns()).to_bytes()
    try:
        query.reply(key, cdr, attachment=attachment)
    except zenoh.ZError:
        _log.warning("a client of %s went away before it was answered", key)
    finally:
        query.drop()  # the answer is complete only then


def _declare_publisher(session: zenoh.Session, key: str, qos: Qos) -> zenoh.ext.AdvancedPublisher:
    """With the options that rmw_zenoh's publishers have."""
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
    """With the options that rmw_zenoh's subscriptions have."""
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
    """Declares a liveliness token; gives what takes it back."""
    return session.liveliness().declare_token(token).undeclare if token else lambda: None
