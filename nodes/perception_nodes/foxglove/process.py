"""Shows a running deployment live in Foxglove's app: every topic as it is, and drawn.

In the app: Open connection → Foxglove WebSocket → ws://localhost:8765. Messages pass through as CDR with their
definitions; map, objects, forecasts and the ego's pose are also sent as Foxglove's own messages, on /scene/… and /tf.
Messages from clients are ignored.

Foxglove's SDK asks its clients for nothing, and does not show the Origin of a handshake, so none can be refused. It
therefore listens on loopback only, where every program of the host may read along, and with a browser every web page
that is open in it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import foxglove
from foxglove import Channel, Context, Schema
from foxglove.websocket import ChannelView, Client, ServerListener
from typing_extensions import override

from perception.errors import InputError
from perception_nodes.foxglove.drawings import DRAWINGS
from perception_nodes.operations.deployment import Deployment, FoxglovePlan
from perception_nodes.operations.diagnostics import DIAGNOSTICS, DIAGNOSTICS_TOPIC, Level, Status
from perception_nodes.operations.inputs import Input
from perception_nodes.operations.topic_process import STUCK_S, WAIT_S, TopicProcess
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import (
    TF,
    definition,
    topic_of,
)
from perception_nodes.ros.topics import Received, RosNode
from perception_nodes.ros.wire import Topic

BACKLOG = 64
"""Maximum number of messages that wait for a client; a slow client loses the oldest."""
DRAWING_QUEUE = 8
"""Maximum number of messages that wait to be drawn; the oldest are dropped."""

_log = logging.getLogger(__name__)


def topics_of(deployment: Deployment, domain: int) -> list[Topic]:
    """Returns the topics of a deployment's nodes in a domain, each once; /tf is drawn from the odometry instead."""
    topics = [topic_of(DIAGNOSTICS_TOPIC, DIAGNOSTICS)]
    for plan in deployment.nodes.values():
        topics += plan.topics if plan.domain == domain else ()
    return [topic for topic in dict.fromkeys(topics) if topic.type != TF]


class _SubscriptionListener(ServerListener):
    """Reports the topics that clients subscribe to."""

    def __init__(self, on_topic: Callable[[str], None]) -> None:
        self._on_topic = on_topic

    @override
    def on_subscribe(self, client: Client, channel: ChannelView) -> None:
        """Runs on a thread of the server."""
        self._on_topic(channel.topic)


class FoxgloveProcess(TopicProcess):
    """Shows a deployment's topics on a WebSocket until it is closed.

    Args:
        ros: Its ROS node on zenoh.
        plan: Where it listens, and which domain it shows.
        deployment: The deployment whose topics it shows.

    Raises:
        InputError: The port is taken.
    """

    def __init__(self, ros: RosNode, plan: FoxglovePlan, deployment: Deployment) -> None:
        super().__init__(ros)
        self._context = Context()
        self._channels: dict[str, Channel] = {}
        self._latched: dict[str, bytes] = {}
        self._complaint = ""
        self._to_draw: Input[tuple[Topic, bytes]] = Input("latest", DRAWING_QUEUE)
        topics = topics_of(deployment, plan.domain)
        for topic in topics:
            self._advertise(topic)
        try:
            self._server = foxglove.start_server(
                name="perception",
                host="127.0.0.1",
                port=plan.port,
                context=self._context,
                server_listener=_SubscriptionListener(self._send_latched),
                message_backlog_size=BACKLOG,
            )
        except (RuntimeError, OverflowError) as error:
            raise InputError(f"foxglove: port {plan.port} cannot be listened at ({error}); choose another") from error
        self._thread.start()
        for topic in topics:
            ros.subscribe(topic, partial(self._take, topic))

    @property
    @override
    def places(self) -> dict[str, int]:
        """The WebSocket's port."""
        return {"foxglove": self._server.port}

    @override
    def ready(self) -> str:
        """For /readyz: always ready."""
        return ""

    @override
    def statuses(self) -> list[Status]:
        """Whether the last message could be drawn."""
        return [Status(Level.WARN if self._complaint else Level.OK, "foxglove: drawing", self._complaint or "OK")]

    @override
    def close(self) -> None:
        """Disconnects all clients, and ends."""
        self._closing = True
        self._to_draw.close()
        self._thread.join(STUCK_S)
        self._server.stop()

    def _advertise(self, topic: Topic) -> None:
        schema = Schema(name=topic.type, encoding="ros2msg", data=definition(topic.type).encode())
        self._channels[topic.name] = Channel(topic.name, schema=schema, message_encoding="cdr", context=self._context)
        if topic.type in DRAWINGS:
            name, kind, _ = DRAWINGS[topic.type]
            if name not in self._channels:
                self._channels[name] = Channel(
                    name, schema=kind.get_schema(), message_encoding="protobuf", context=self._context
                )

    def _take(self, topic: Topic, received: Received) -> None:
        """Passes a message on, and queues it for drawing if it can be drawn; runs on zenoh's thread."""
        self._show(topic.name, received.cdr, latched=topic.qos.latched)
        if topic.type in DRAWINGS:
            self._to_draw.put((topic, received.cdr))

    @override
    def _round(self) -> None:
        waiting = self._to_draw.get(WAIT_S)
        if waiting is None:
            return
        topic, cdr = waiting
        name, _, draw = DRAWINGS[topic.type]
        if not topic.qos.latched and not self._channels[name].has_sinks():
            return
        try:
            self._show(name, draw(cdr).encode(), latched=topic.qos.latched)
            self._complaint = ""
        except MalformedMessage as error:
            if not self._complaint:
                _log.warning("%s is not drawn: %s", topic.name, error)
            self._complaint = f"{topic.name}: {error}"

    def _send_latched(self, name: str) -> None:
        """Sends a topic's latched message again; for clients that have it already nothing changes."""
        if name in self._latched:
            self._channels[name].log(self._latched[name])

    def _show(self, name: str, payload: bytes, *, latched: bool) -> None:
        if latched:
            self._latched[name] = payload
        self._channels[name].log(payload)
