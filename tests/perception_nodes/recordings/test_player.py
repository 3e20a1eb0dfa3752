from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zenoh
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_types_from_msg
from rosbags.typesys.store import Typestore

from perception.errors import InputError
from perception_nodes.recordings.player import MEET_S, Player, playable
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.clock import CLOCK_TOPIC
from perception_nodes.ros.messages import CLOCK, deserialize, make, serialize, topic_of, type_hash, typestore
from perception_nodes.ros.topics import Received, RosNode
from perception_nodes.ros.wire import LATCHED, SENSOR_DATA, Qos, RmwZenoh, Topic

TEXT = "std_msgs/msg/String"
CHAT = Topic("/chat", TEXT, type_hash(TEXT), Qos(depth=None))
MAP = Topic("/latched", TEXT, type_hash(TEXT), LATCHED)


def say(text: str) -> bytes:
    return serialize(make(TEXT, data=text), TEXT)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A latched message, and years later five others, a tenth of a second apart."""
    with Recorder(tmp_path / "a.mcap", lossless=True) as recorder:
        recorder.record(MAP, 0, say("map"))
        for number in range(5):
            recorder.record(CHAT, 10**18 + number * 10**8, say(str(number)))
    return tmp_path / "a.mcap"


class Waits:
    """Notes what is waited for, without waiting; stops at a number of waits."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.seconds: list[float] = []
        self._stop_at = stop_at

    def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) == self._stop_at


@pytest.fixture
def ros(sessions: tuple[zenoh.Session, zenoh.Session]) -> Iterator[RosNode]:
    with RosNode(sessions[0], RmwZenoh(node="player")) as ros:
        yield ros


def test_messages_arrive_as_they_were_recorded_and_the_map_reaches_who_comes_late(
    sessions: tuple[zenoh.Session, zenoh.Session], ros: RosNode, log: Path
) -> None:
    heard: queue.Queue[Received] = queue.Queue()
    late: queue.Queue[Received] = queue.Queue()
    with RosNode(sessions[1], RmwZenoh()) as listener:
        listener.subscribe(CHAT, heard.put)
        player = Player(ros, [playable(log)], rate=1000.0, wait=lambda seconds: bool(time.sleep(min(seconds, 0.5))))
        assert player.play()
        assert [heard.get(timeout=60).cdr for _ in range(5)] == [say(str(number)) for number in range(5)]
        listener.subscribe(MAP, late.put)
        assert late.get(timeout=60).cdr == say("map")
        assert listener.failures.counts == {}
    assert player.played == {"/latched": 1, "/chat": 5}
    assert player.latches


def test_the_recorded_time_goes_out_before_the_messages_of_that_time(
    sessions: tuple[zenoh.Session, zenoh.Session], ros: RosNode, log: Path
) -> None:
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
    clock = topic_of(CLOCK_TOPIC, CLOCK, SENSOR_DATA)
    with RosNode(sessions[1], RmwZenoh()) as listener:
        for topic in (CHAT, clock):
            listener.subscribe(topic, lambda received, name=topic.name: heard.put((name, received.cdr)))
        pause = lambda seconds: bool(time.sleep(min(seconds, 0.5)))  # noqa: E731
        assert Player(ros, [playable(log)], rate=20.0, wait=pause, clock=True).play()
        arrived = [heard.get(timeout=60) for _ in range(10)]
    times = [deserialize(cdr, CLOCK).clock for name, cdr in arrived if name == CLOCK_TOPIC]
    assert [time.sec * 10**9 + time.nanosec for time in times] == [10**18 + number * 10**8 for number in range(5)]


@pytest.mark.parametrize(("rate", "last_s"), [(1.0, 0.4), (2.0, 0.2), (float("inf"), None)])
def test_the_pace_is_that_of_the_stamps_and_latched_messages_do_not_set_it(
    ros: RosNode, log: Path, rate: float, last_s: float | None
) -> None:
    waits = Waits()
    assert Player(ros, [playable(log)], rate=rate, wait=waits).play()
    assert waits.seconds[0] == MEET_S
    if last_s is None:
        assert len(waits.seconds) == 1
    else:
        assert waits.seconds[-1] == pytest.approx(last_s, abs=0.15)
        assert len(waits.seconds) == 1 + 4


@pytest.mark.parametrize(("stop_at", "played"), [(1, 0), (3, 3)])
def test_a_stop_ends_it_between_messages(ros: RosNode, log: Path, stop_at: int, played: int) -> None:
    player = Player(ros, [playable(log)], rate=1.0, wait=Waits(stop_at))
    assert not player.play()
    assert player.played.total() == played


def test_recordings_are_played_one_after_the_other_and_again(ros: RosNode, log: Path) -> None:
    player = Player(ros, [playable(log, ["/latched"]), playable(log, ["/chat"])], rate=float("inf"), wait=Waits())
    assert player.play()
    assert player.play()
    assert player.played == {"/latched": 2, "/chat": 10}


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_none_is_refused(ros: RosNode, log: Path, rate: float) -> None:
    with pytest.raises(InputError, match="expected a number above 0"):
        Player(ros, [playable(log)], rate=rate, wait=Waits())


def test_a_topic_that_is_not_there_is_named(log: Path) -> None:
    with pytest.raises(InputError, match="has no topic /odd; its topics are /chat, /latched"):
        playable(log, ["/odd"])


def test_a_type_that_is_known_needs_no_recorded_hash_and_another_is_skipped_with_the_reason(
    tmp_path: Path, ros: RosNode, caplog: pytest.LogCaptureFixture, make_store: Callable[[], Typestore]
) -> None:
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        known = writer.add_connection("/chat", TEXT, typestore=typestore())
        writer.write(known, 1, say("x"))
        own = writer.add_connection("/own", "own_msgs/msg/Own", typestore=make_store())
        writer.write(own, 2, say("y"))
    found = playable(tmp_path / "bag")
    assert [(topic.name, topic.type_hash) for topic in found.topics] == [("/chat", type_hash(TEXT))]
    assert found.skipped == {"/own": "/own: the hash of own_msgs/msg/Own is neither recorded nor known here"}
    with caplog.at_level(logging.WARNING):
        Player(ros, [found], rate=1.0, wait=Waits())
    assert "not played: /own: the hash of own_msgs/msg/Own" in caplog.text
    with pytest.raises(InputError, match="expected a topic that can be played, found none: /own"):
        playable(tmp_path / "bag", ["/own"])


@pytest.fixture
def make_store() -> Callable[[], Typestore]:
    """Makes a store of types with one that is not known here."""

    def make_store() -> Typestore:
        store = Typestore()
        store.register(get_types_from_msg("string data", "own_msgs/msg/Own"))
        return store

    return make_store
