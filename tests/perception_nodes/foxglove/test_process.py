"""What Foxglove's app would show, by a plain client of its protocol (foxglove.sdk.v1)."""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zenoh

pytest.importorskip("foxglove")
from websockets.sync.client import ClientConnection, connect

from perception.errors import InputError
from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import MapPolylines
from perception_nodes.forecasting.messages import tracked_objects_of
from perception_nodes.forecasting.plan import ForecastPlan
from perception_nodes.forecasting.tick import Tick
from perception_nodes.foxglove.drawings import DRAWINGS
from perception_nodes.foxglove.process import FoxgloveProcess, topics_of
from perception_nodes.operations.deployment import Deployment, FoxglovePlan
from perception_nodes.ros.cdr import write_tracked_objects
from perception_nodes.ros.map_message import map_message
from perception_nodes.ros.messages import POLYLINE_MAP, TF, TRACKED_OBJECTS, definition, serialize
from perception_nodes.ros.topics import Publisher, RosNode
from perception_nodes.ros.wire import RmwZenoh, Topic
from perception_nodes.scene_qa.plan import SceneQaPlan

PLAN = ForecastPlan(Path("run"))
ANSWERER = SceneQaPlan(Path("rooms"), domain=3)
DEPLOYMENT = Deployment(nodes={"forecast": PLAN, "answerer": ANSWERER})


class App:
    """A client like the app: reads the channels, subscribes, takes messages."""

    def __init__(self, socket: ClientConnection, read: Callable[[str, bytes, bytes], Any]) -> None:
        self._socket, self._read = socket, read
        self.channels: dict[str, dict[str, Any]] = {}
        self._names: dict[int, str] = {}
        while len(self.channels) < len(topics_of(DEPLOYMENT, 0)) + 4:
            told = json.loads(socket.recv(timeout=60))
            for channel in told.get("channels", ()):
                self.channels[channel["topic"]] = channel

    def subscribe(self, *names: str) -> None:
        wanted = []
        for name in names:
            self._names[len(self._names)] = name
            wanted.append({"id": len(self._names) - 1, "channelId": self.channels[name]["id"]})
        self._socket.send(json.dumps({"op": "subscribe", "subscriptions": wanted}))

    def take(self, timeout_s: float = 10) -> tuple[str, bytes]:
        """Topic and payload of the next message."""
        while True:
            data = self._socket.recv(timeout=timeout_s)
            if isinstance(data, bytes):
                kind, subscription, _ = struct.unpack_from("<BIQ", data)
                assert kind == 1
                return self._names[subscription], data[13:]

    def draw(self, name: str, payload: bytes) -> Any:
        """A message of Foxglove's own, read by the schema that was advertised."""
        channel = self.channels[name]
        return self._read(channel["schemaName"], base64.b64decode(channel["schema"]), payload)


@pytest.fixture
def robot(sessions: tuple[zenoh.Session, zenoh.Session]) -> Iterator[Callable[[str], Publisher]]:
    """Publishers of the deployment's topics by the type of their messages."""
    topics = {topic.type: topic for topic in topics_of(DEPLOYMENT, 0)}
    with RosNode(sessions[0], RmwZenoh(node="robot")) as ros:
        yield lambda kind: ros.publisher(topics[kind])


@pytest.fixture
def shown(sessions: tuple[zenoh.Session, zenoh.Session]) -> Iterator[FoxgloveProcess]:
    with (
        RosNode(sessions[1], RmwZenoh(node="foxglove")) as ros,
        FoxgloveProcess(ros, FoxglovePlan(port=0), DEPLOYMENT) as process,
    ):
        yield process


@pytest.fixture
def app(shown: FoxgloveProcess, read_foxglove: Callable[[str, bytes, bytes], Any]) -> Iterator[App]:
    with connect(f"ws://127.0.0.1:{shown.places['foxglove']}", subprotocols=["foxglove.sdk.v1"]) as socket:  # pyright: ignore[reportArgumentType]
        yield App(socket, read_foxglove)


def road() -> MapIndex:
    none = np.zeros(2, dtype=np.int64)
    points = np.arange(8.0).reshape(2, 2, 2)
    return MapIndex(MapPolylines(np.arange(2), points, np.array([0, 3]), none, none > 0, none > 0))


def say_until(app: App, publisher: Publisher, cdr: bytes | bytearray, *names: str) -> dict[str, bytes]:
    """Sends a message repeatedly until the app has received it on each of these topics."""
    heard: dict[str, bytes] = {}
    end = time.monotonic() + 60
    while heard.keys() < set(names):
        assert time.monotonic() < end
        publisher.put(cdr)  # messages before discovery are lost
        with suppress(TimeoutError):
            name, payload = app.take(0.2)
            heard[name] = payload
    return heard


def test_the_topics_are_those_of_the_domain_each_once() -> None:
    diagnostics, *topics = topics_of(DEPLOYMENT, 0)
    assert diagnostics.name == "/diagnostics"
    assert topics == [topic for topic in PLAN.topics if topic.type != TF]
    _, *topics = topics_of(DEPLOYMENT, 3)
    assert topics == [*ANSWERER.inputs, *ANSWERER.outputs]
    twice = topics_of(Deployment(nodes={"forecast": PLAN, "second": PLAN}), 0)
    assert twice == topics_of(DEPLOYMENT, 0)


def test_every_channel_says_what_it_holds(app: App) -> None:
    objects = app.channels[PLAN.objects]
    assert (objects["encoding"], objects["schemaEncoding"], objects["schemaName"]) == (
        "cdr",
        "ros2msg",
        TRACKED_OBJECTS,
    )
    assert objects["schema"] == definition(TRACKED_OBJECTS)
    assert app.channels["/scene/forecasts"]["schemaName"] == "foxglove.SceneUpdate"
    assert app.channels["/tf"]["schemaName"] == "foxglove.FrameTransform"


def test_objects_pass_as_they_are_and_are_drawn(
    app: App, robot: Callable[[str], Publisher], make_tick: Callable[..., Tick]
) -> None:
    tick = make_tick(0, cars=2)
    cdr = write_tracked_objects(tracked_objects_of(tick, np.zeros((3, 2))))
    app.subscribe(PLAN.objects, "/scene/objects")
    heard = say_until(app, robot(TRACKED_OBJECTS), cdr, PLAN.objects, "/scene/objects")
    assert heard[PLAN.objects] == bytes(cdr)
    (entity,) = app.draw("/scene/objects", heard["/scene/objects"]).entities
    assert (entity.frame_id, entity.timestamp.seconds) == ("map", tick.stamp_ns // 10**9)
    places = [[cube.pose.position.x, cube.pose.position.y, cube.size.x] for cube in entity.cubes]
    np.testing.assert_allclose(places, np.column_stack([tick.position, tick.size[:, 0]]))


def test_a_map_is_kept_for_who_comes_late(
    shown: FoxgloveProcess, robot: Callable[[str], Publisher], read_foxglove: Callable[[str, bytes, bytes], Any]
) -> None:
    cdr = serialize(map_message(road(), "town"), POLYLINE_MAP)
    robot(POLYLINE_MAP).put(cdr)
    end = time.monotonic() + 60
    while shown._latched.keys() != {PLAN.map, "/scene/map"}:
        assert time.monotonic() < end
        time.sleep(0.01)
    for _ in range(2):
        with connect(f"ws://127.0.0.1:{shown.places['foxglove']}", subprotocols=["foxglove.sdk.v1"]) as socket:  # pyright: ignore[reportArgumentType]
            late = App(socket, read_foxglove)
            late.subscribe(PLAN.map, "/scene/map")
            heard = dict(late.take() for _ in range(2))
            assert heard[PLAN.map] == cdr
            (entity,) = late.draw("/scene/map", heard["/scene/map"]).entities
            drawn = [[(p.x, p.y) for p in line.points] for line in entity.lines]
            assert drawn == [[(0, 1), (2, 3)], [(4, 5), (6, 7)]]


def test_what_cannot_be_drawn_still_passes_and_is_told(app: App, shown: FoxgloveProcess, robot) -> None:
    app.subscribe(PLAN.objects)
    broken = b"\x00\x01\x00\x00" + b"\xff" * 30
    app.subscribe("/scene/objects")  # otherwise it would not be drawn
    objects = robot(TRACKED_OBJECTS)
    heard = say_until(app, objects, broken, PLAN.objects)
    assert heard[PLAN.objects] == broken
    end = time.monotonic() + 60
    while shown.statuses()[0].message == "OK":
        assert time.monotonic() < end
        objects.put(broken)  # the drawing may have been asked for after the first
        time.sleep(0.05)
    assert PLAN.objects in shown.statuses()[0].message
    assert shown.works()


def test_a_place_that_is_taken_is_named(shown: FoxgloveProcess, sessions: tuple[zenoh.Session, zenoh.Session]) -> None:
    with RosNode(sessions[0], RmwZenoh(node="second")) as ros, pytest.raises(InputError, match="choose another"):
        FoxgloveProcess(ros, FoxglovePlan(port=shown.places["foxglove"]), DEPLOYMENT)


def test_only_loopback_is_listened_at(shown: FoxgloveProcess) -> None:
    listening = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
    port = f"{shown.places['foxglove']:04X}"
    assert {line.split()[1].split(":")[0] for line in listening if line.split()[1].endswith(":" + port)} == {"0100007F"}


def test_every_drawing_has_a_type_that_some_topic_may_have() -> None:
    kinds: set[str] = {topic.type for topic in topics_of(DEPLOYMENT, 0)}
    other = Deployment(nodes={"d": ForecastPlan(Path("run"), objects_type="vision_msgs/msg/Detection3DArray")})
    kinds |= {topic.type for topic in topics_of(other, 0)}
    assert DRAWINGS.keys() <= kinds
    assert all(isinstance(topic, Topic) for topic in topics_of(other, 0))


def test_it_listens_on_loopback_alone_since_the_sdk_shows_no_origin(shown: FoxgloveProcess) -> None:
    """The SDK accepts every Origin. Once it can be asked to refuse some, or shows them, this fails: use that then."""
    from foxglove import start_server

    port = shown.places["foxglove"]
    options: Any = {"origin": "https://elsewhere.example", "subprotocols": ["foxglove.sdk.v1"]}
    with connect(f"ws://127.0.0.1:{port}", **options) as page:
        assert json.loads(page.recv(timeout=60))["op"] == "serverInfo"
    assert not [name for name in signature(start_server).parameters if "origin" in name or "header" in name]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_what_clients_send_is_not_taken(shown: FoxgloveProcess) -> None:
    with connect(f"ws://127.0.0.1:{shown.places['foxglove']}", subprotocols=["foxglove.sdk.v1"]) as app:  # pyright: ignore[reportArgumentType]
        assert json.loads(app.recv(timeout=60)).get("capabilities", []) == []


@pytest.mark.parametrize("port", [65536, -1, 99999])
def test_a_port_that_is_none_is_refused(port: int, sessions: tuple[zenoh.Session, zenoh.Session]) -> None:
    with (
        RosNode(sessions[1], RmwZenoh(node="foxglove")) as ros,
        pytest.raises(InputError, match=f"foxglove: port {port} cannot be listened at"),
    ):
        FoxgloveProcess(ros, FoxglovePlan(port=port), DEPLOYMENT)
