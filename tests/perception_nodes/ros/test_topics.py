from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import zenoh

from perception_nodes.failure_log import FailureLog
from perception_nodes.ros.messages import ASK_SCENE, POLYLINE_MAP, deserialize, make, serialize, service_of, type_hash
from perception_nodes.ros.topics import LOST, Received, RosNode, Subscription
from perception_nodes.ros.wire import LATCHED, Attachment, Plain, Qos, RmwZenoh, Role, Ros2Dds, Topic, Wire, gid_of

TEXT = Topic("/chat", "std_msgs/msg/String", "RIHS01_df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18")
MAP = Topic("/map/polylines", POLYLINE_MAP, type_hash(POLYLINE_MAP), LATCHED)
WIRES = [RmwZenoh(), Ros2Dds(), Plain()]


def say(text: str) -> bytes:
    return serialize(make("std_msgs/msg/String", data=text), "std_msgs/msg/String")


def heard(received: Received) -> str:
    return deserialize(received.cdr, "std_msgs/msg/String").data


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: type(wire).__name__)
def test_messages_arrive_in_order_and_numbered(
    sessions: tuple[zenoh.Session, zenoh.Session], wire: Wire, eventually: Callable[..., None]
) -> None:
    inbox: queue.Queue[Received] = queue.Queue()
    with RosNode(sessions[0], wire) as talker, RosNode(sessions[1], wire) as listener:
        listener.subscribe(TEXT, inbox.put)
        publisher = talker.publisher(TEXT)
        started = time.time_ns()
        first = say("warm-up")
        eventually(lambda: publisher.put(first) or not inbox.empty())  # until the two know of each other
        for number in range(20):
            publisher.put(say(str(number)))
        received = [inbox.get(timeout=60)]
        while heard(received[-1]) != "19":
            received.append(inbox.get(timeout=60))
    assert [heard(message) for message in received[-20:]] == [str(number) for number in range(20)]
    if isinstance(wire, RmwZenoh):
        attachments = [message.attachment for message in received[-20:]]
        numbers = [attachment.sequence_number for attachment in attachments if attachment]
        assert np.diff(numbers).tolist() == [1] * 19
        token = wire.token(Role.PUBLISHER, TEXT, str(sessions[0].zid()), 1)
        assert all(attachment and attachment.gid == gid_of(token) for attachment in attachments)
        assert all(attachment and started <= attachment.stamp_ns <= time.time_ns() for attachment in attachments)
    else:
        assert {message.attachment for message in received} == {None}


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: type(wire).__name__)
def test_a_latched_map_reaches_who_joins_late_and_only_its_last_state(
    sessions: tuple[zenoh.Session, zenoh.Session], wire: Wire
) -> None:
    inbox: queue.Queue[Received] = queue.Queue()
    with RosNode(sessions[0], wire) as server, RosNode(sessions[1], wire) as late:
        publisher = server.publisher(MAP)
        publisher.put(b"\x00\x01\x00\x00old")
        publisher.put(bytes(3_000_000))
        late.subscribe(MAP, inbox.put)
        received = inbox.get(timeout=60)
        assert len(received.cdr) == 3_000_000
        assert (received.attachment is not None) == isinstance(wire, RmwZenoh)
        publisher.put(b"\x00\x01\x00\x00new")
        assert inbox.get(timeout=60).cdr.endswith(b"new")
        assert inbox.empty()


def test_a_publisher_that_comes_later_still_delivers_its_latched_map(
    sessions: tuple[zenoh.Session, zenoh.Session],
) -> None:
    inbox: queue.Queue[Received] = queue.Queue()
    with RosNode(sessions[1], RmwZenoh()) as early, RosNode(sessions[0], RmwZenoh()) as server:
        early.subscribe(MAP, inbox.put)
        server.publisher(MAP).put(b"\x00\x01\x00\x00map")
        assert inbox.get(timeout=60).cdr.endswith(b"map")


@pytest.mark.parametrize("wire", [RmwZenoh(), Ros2Dds()], ids=lambda wire: type(wire).__name__)
def test_entities_are_seen_by_others_while_they_live(
    sessions: tuple[zenoh.Session, zenoh.Session], wire: Wire, eventually: Callable[..., None]
) -> None:
    with RosNode(sessions[0], wire) as watcher:
        with RosNode(sessions[1], wire) as other:
            other.publisher(TEXT)
            other.subscribe(TEXT, lambda _: None)
            eventually(lambda: len(watcher.others_at("/chat")) == 2)
            seen = watcher.others_at("/chat")
            assert {entity.role for entity in seen} == {Role.PUBLISHER, Role.SUBSCRIPTION}
            assert {entity.topic.type for entity in seen} == {TEXT.type}
            assert watcher.others_at("/other") == []
            assert other.others_at("/chat") == []
        eventually(lambda: watcher.others_at("/chat") == [])


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: type(wire).__name__)
def test_a_service_answers_each_of_its_requests_and_what_fails_does_not_keep_the_client_waiting(
    sessions: tuple[zenoh.Session, zenoh.Session],
    wire: Wire,
    caplog: pytest.LogCaptureFixture,
    eventually: Callable[..., None],
) -> None:
    service = service_of("/ask", ASK_SCENE)

    def answer(request: bytes, reply: Callable[[bytes], None]) -> None:
        if request == b"bad":
            raise RuntimeError("cannot")
        threading.Timer(0.01, lambda: reply(request[::-1])).start()  # later, from another thread

    def ask(request: bytes, attachment: bytes | None = None) -> list[zenoh.Sample]:
        replies = sessions[1].get(wire.key(service), payload=request, attachment=attachment, timeout=60.0)
        return [reply.ok for reply in replies if reply.ok]

    with RosNode(sessions[0], wire) as server, RosNode(sessions[1], wire) as client:
        server.serve(service, answer)
        eventually(lambda: ask(b"abc"))
        assert [sample.payload.to_bytes() for sample in ask(b"abc")] == [b"cba"]
        began = time.monotonic()
        assert ask(b"bad") == []
        assert time.monotonic() - began < 30
        (numbered,) = ask(b"abc", Attachment(7, 1, bytes(16)).to_bytes())
        assert numbered.attachment is not None
        assert Attachment.from_bytes(numbered.attachment.to_bytes()).sequence_number == 7
        assert ask(b"abc", b"forged") == []
        eventually(lambda: server.failures.counts == {"/ask": 2})
        if wire.everyone is not None:
            (entity,) = client.others_at("/ask")
            assert (entity.role, entity.topic.type) == (Role.SERVICE, ASK_SCENE)
    assert ask(b"abc") == []
    assert "/ask: RuntimeError: cannot" in caplog.text


def test_a_peer_with_another_type_hash_is_found_out(
    sessions: tuple[zenoh.Session, zenoh.Session], eventually: Callable[..., None]
) -> None:
    stranger = Topic(TEXT.name, TEXT.type, "RIHS01_" + 64 * "0")
    inbox: queue.Queue[Received] = queue.Queue()
    with RosNode(sessions[0], RmwZenoh()) as ours, RosNode(sessions[1], RmwZenoh()) as theirs:
        ours.subscribe(TEXT, inbox.put)
        theirs.publisher(stranger).put(say("hello"))
        eventually(lambda: ours.others_at(TEXT.name))
        assert [entity.topic.type_hash for entity in ours.others_at(TEXT.name)] == [stranger.type_hash]
        assert inbox.empty()


def test_the_node_itself_is_announced_as_ros_does(
    sessions: tuple[zenoh.Session, zenoh.Session], eventually: Callable[..., None]
) -> None:
    def tokens() -> list[str]:
        return [str(reply.ok.key_expr) for reply in sessions[0].liveliness().get("@ros2_lv/5/**") if reply.ok]

    with RosNode(sessions[1], RmwZenoh(node="here", domain=5)):
        eventually(tokens)
        assert tokens() == [f"@ros2_lv/5/{sessions[1].zid()}/0/0/NN/%/%/here"]
    eventually(lambda: not tokens())


def test_a_failing_callback_is_counted_and_logged_and_the_next_message_comes(
    sessions: tuple[zenoh.Session, zenoh.Session], caplog: pytest.LogCaptureFixture, eventually: Callable[..., None]
) -> None:
    inbox: queue.Queue[str] = queue.Queue()

    def take(received: Received) -> None:
        if heard(received) == "bad":
            raise RuntimeError("cannot")
        inbox.put(heard(received))

    topic = Topic("/fragile", TEXT.type, TEXT.type_hash, Qos(depth=None))
    with (
        caplog.at_level(logging.WARNING),
        RosNode(sessions[0], RmwZenoh()) as talker,
        RosNode(sessions[1], RmwZenoh()) as listener,
    ):
        listener.subscribe(topic, take)
        publisher = talker.publisher(topic)
        eventually(lambda: publisher.put(say("ping")) or not inbox.empty())
        publisher.put(say("bad"))
        publisher.put(say("good"))
        while inbox.get(timeout=60) != "good":
            pass
        sessions[0].put(RmwZenoh().key(topic), say("forged"), attachment=b"short")
        eventually(lambda: listener.failures.counts["/fragile"] == 2)
    assert "/fragile: RuntimeError: cannot" in caplog.text
    assert "/fragile: attachment 73686f7274; expected 33 bytes" in caplog.text


def take_numbers(subscription: Subscription, numbers: Sequence[int], gid: bytes = bytes(16)) -> None:
    """Hands messages of these numbers to a subscription, as zenoh does."""
    for number in numbers:
        attachment = SimpleNamespace(to_bytes=Attachment(number, 0, gid).to_bytes)
        sample = SimpleNamespace(attachment=attachment, payload=SimpleNamespace(to_bytes=lambda: say("x")))
        subscription.take(cast(Any, sample))


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [
        ([1, 2, 3], 0),
        ([7, 8], 0),  # it was there before us
        ([1, 2, 5, 6, 9], 4),
        ([3, 1, 2, 4], 0),  # late ones are not lost
        ([1, 4, 2, 3, 5], 2),
        ([5, 5, 6], 0),
    ],
)
def test_numbers_that_a_publisher_left_out_are_counted_as_lost(
    numbers: list[int], lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    failures, inbox = FailureLog(logging.getLogger("lost")), []
    take_numbers(Subscription("/points", inbox.append, failures), numbers)
    assert failures.counts[f"/points{LOST}"] == lost
    assert len(inbox) == len(numbers)
    assert ("did not arrive" in caplog.text) == (lost > 0)


def test_each_publisher_has_numbers_of_its_own_and_only_so_many_are_remembered() -> None:
    failures = FailureLog(logging.getLogger("lost"))
    subscription = Subscription("/points", lambda _: None, failures)
    for publisher in range(1000):
        take_numbers(subscription, [10, 11], publisher.to_bytes(16, "little"))
    assert failures.counts == {}
    assert len(subscription._last_numbers) <= 256
    take_numbers(subscription, [13], (999).to_bytes(16, "little"))
    assert failures.counts == {f"/points{LOST}": 1}


def test_a_message_that_is_lost_between_two_sessions_is_counted(
    sessions: tuple[zenoh.Session, zenoh.Session], eventually: Callable[..., None]
) -> None:
    inbox: queue.Queue[Received] = queue.Queue()
    topic, wire = Topic("/holes", TEXT.type, TEXT.type_hash), RmwZenoh()
    with RosNode(sessions[1], wire) as listener:
        listener.subscribe(topic, inbox.put)
        eventually(lambda: sessions[0].put(wire.key(topic), say("1"), attachment=wire.attachment(1, 0, "t"))
                   or not inbox.empty())  # fmt: skip
        sessions[0].put(wire.key(topic), say("4"), attachment=wire.attachment(4, 0, "t"))
        eventually(lambda: listener.failures.counts == {f"/holes{LOST}": 2})
