"""Plays recordings to topics, as `ros2 bag play` does, so that nodes live on a robot's log."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perception.errors import InputError
from perception_nodes.recordings.reader import read_recording, topics_in
from perception_nodes.recordings.recorded_topic import RecordedTopic
from perception_nodes.ros.clock import CLOCK_TOPIC
from perception_nodes.ros.messages import CLOCK, header, make, serialize, topic_of, type_hash, typestore
from perception_nodes.ros.topics import Publisher, RosNode
from perception_nodes.ros.wire import SENSOR_DATA, Topic

MEET_S = 1.0
"""Seconds between announcing the topics and the first message, so that subscriptions find their publishers."""

Wait = Callable[[float], bool]
"""Waits that many seconds; returns whether to stop."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Playable:
    """A recording and its topics.

    Attributes:
        path: The recording.
        topics: Topics that are played.
        skipped: Why other topics are not played, by their names.
    """

    path: Path
    topics: Sequence[Topic]
    skipped: Mapping[str, str]


def playable(path: Path, wanted: Collection[str] = ()) -> Playable:
    """Returns a recording with those of its topics that can be played.

    Args:
        path: Recording.
        wanted: Names of the topics to play; empty for all.

    Raises:
        InputError: The recording is damaged, lacks a topic, or has none that can be played.
    """
    recorded = topics_in(path)
    if missing := sorted(set(wanted) - recorded.keys()):
        raise InputError(f"{path} has no topic {missing[0]}; its topics are {', '.join(sorted(recorded))}")
    topics, skipped = [], {}
    for name, topic in recorded.items():
        if wanted and name not in wanted:
            continue
        try:
            topics.append(Topic(name, topic.type, _hash_of(topic), topic.qos))
        except InputError as error:
            skipped[name] = str(error)
    if not topics:
        raise InputError(f"{path}: expected a topic that can be played, found none: {'; '.join(skipped.values())}")
    return Playable(path, topics, skipped)


def _hash_of(topic: RecordedTopic) -> str:
    """Returns the hash in the recording, or that of a type that is known here."""
    if topic.type_hash is not None:
        return topic.type_hash
    if topic.type not in typestore().fielddefs:
        raise InputError(f"{topic.name}: the hash of {topic.type} is neither recorded nor known here")
    return type_hash(topic.type)


class Player:
    """Publishes what recordings hold.

    Latched messages before all others are published at once; the pace is that of the others' stamps.

    Args:
        ros: The ROS node that publishes.
        recordings: What is played, one after the other.
        rate: Pace, as a multiple of the recorded one; infinity does not wait.
        wait: Waits between messages.
        clock: Whether the recorded time is published on /clock, for nodes with `use_sim_time`.

    Attributes:
        played: Number of messages by topic, so far.
        latches: Whether a latched topic is among them, whose last messages last while the node does.
    """

    def __init__(
        self, ros: RosNode, recordings: Sequence[Playable], *, rate: float, wait: Wait, clock: bool = False
    ) -> None:
        if not rate > 0:
            raise InputError(f"--rate {rate:g}: expected a number above 0, such as 1; inf does not wait")
        self._recordings, self._rate, self._wait = recordings, rate, wait
        topics = {topic.name: topic for recording in recordings for topic in recording.topics}
        self._publishers: dict[str, Publisher] = {name: ros.publisher(topic) for name, topic in topics.items()}
        self._clock = ros.publisher(topic_of(CLOCK_TOPIC, CLOCK, SENSOR_DATA)) if clock else None
        self._latched = {name for name, topic in topics.items() if topic.qos.latched}
        self.latches = bool(self._latched)
        self.played: Counter[str] = Counter()
        for recording in recordings:
            for reason in recording.skipped.values():
                _log.warning("%s: not played: %s", recording.path, reason)

    def play(self) -> bool:
        """Plays all recordings once; returns False where it was stopped before the end."""
        if self._wait(MEET_S):
            return False
        return all(self._play(recording) for recording in self._recordings)

    def _play(self, recording: Playable) -> bool:
        begun_s: float | None = None
        first_ns = 0
        for message in read_recording(recording.path, [topic.name for topic in recording.topics]):
            if begun_s is None and message.topic not in self._latched:
                begun_s, first_ns = time.monotonic(), message.stamp_ns
            if begun_s is not None and math.isfinite(self._rate):
                left_s = begun_s + (message.stamp_ns - first_ns) / 1e9 / self._rate - time.monotonic()
                if left_s > 0 and self._wait(left_s):
                    return False
            if self._clock is not None and begun_s is not None:  # the stamps of latched messages may be of any time
                now = header(message.stamp_ns, "").stamp
                self._clock.put(serialize(make(CLOCK, clock=now), CLOCK))
            self._publishers[message.topic].put(message.cdr)
            self.played[message.topic] += 1
        return True
