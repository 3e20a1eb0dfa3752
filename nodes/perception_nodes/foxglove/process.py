"""A running deployment for Foxglove's app, live: every topic as it is, and drawn.

Open connection → Foxglove WebSocket → ws://localhost:8765. Messages pass through in CDR with their definitions; map,
objects, forecasts and the ego's pose are also there as Foxglove's own messages, on /scene/… and /tf. Nothing that a
client sends is listened to.
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
    definition,
    topic_of,
)
from perception_nodes.ros.topics import Received, RosNode
from perception_nodes.ros.wire import Topic

BACKLOG = 64
"""Messages that may wait for a client; a slow one loses the oldest."""
WAITING_TO_BE_DRAWN = 8

_log = logging.getLogger(__name__)


def topics_of(deployment: Deployment, domain: int) -> list[Topic]:
    """The topics of a deployment's nodes in a domain, each once."""
    topics = [topic_of(DIAGNOSTICS_TOPIC, DIAGNOSTICS)]
    for plan in deployment.nodes.values():
        topics += plan.topics if plan.domain == domain else ()
    return list(dict.fromkeys(topics))


class _Latecomers(ServerListener):
    """Tells whenever a client wants a topic."""

    def __init__(self, greet: Callable[[str], None]) -> None:
        self._greet = greet

    @override
    def on_subscribe(self, client: Client, channel: ChannelView) -> None:
        """On a thread of the server's."""
        self._greet(channel.topic)


class FoxgloveProcess(TopicProcess):
    """Shows a deployment's topics on a WebSocket until it is closed.

    Args:
        ros: Its place on zenoh.
        plan: Where to listen.
        deployment: Whose topics.

    Raises:
        InputError: Somebody else listens there.
    """

    def __init__(self, ros: RosNode, plan: FoxglovePlan, deployment: Deployment) -> None:
        super().__init__(ros)
        self._context = Context()
        self._channels: dict[str, Channel] = {}
        self._kept: dict[str, bytes] = {}
        self._complaint = ""
        self._to_draw: Input[tuple[Topic, bytes]] = Input("latest", WAITING_TO_BE_DRAWN)
        topics = topics_of(deployment, plan.domain)
        for topic in topics:
            self._advertise(topic)
        try:
            self._server = foxglove.start_server(
                name="perception",
                host="127.0.0.1",
                port=plan.port,
                context=self._context,
                server_listener=_Latecomers(self._greet),
                message_backlog_size=BACKLOG,
            )
        except RuntimeError as error:
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
        """For /readyz: it waits for nothing."""
        return ""

    @override
    def statuses(self) -> list[Status]:
        """What goes into the diagnostics."""
        return [Status(Level.WARN if self._complaint else Level.OK, "foxglove: drawing", self._complaint or "OK")]

    @override
    def close(self) -> None:
        """Lets all clients go."""
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
        """On zenoh's thread: passes a message on, and puts it down to be drawn if it is one that can be."""
        self._show(topic.name, received.cdr, keep=topic.qos.latched)
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
            self._show(name, draw(cdr).encode(), keep=topic.qos.latched)
            self._complaint = ""
        except MalformedMessage as error:
            if not self._complaint:
                _log.warning("%s is not drawn: %s", topic.name, error)
            self._complaint = f"{topic.name}: {error}"

    def _greet(self, name: str) -> None:
        """Sends what is kept to who comes late; the others get it a second time, which changes nothing."""
        if name in self._kept:
            self._channels[name].log(self._kept[name])

    def _show(self, name: str, payload: bytes, *, keep: bool) -> None:
        if keep:
            self._kept[name] = payload
        self._channels[name].log(payload)
