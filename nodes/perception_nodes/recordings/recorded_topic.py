"""What a recording says of a topic: its type, and the quality of service with which it was published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml
from rosbags.interfaces import Qos as RosbagsQos

from perception_nodes.ros.wire import RELIABLE, Qos

_BEST_EFFORT = (2, "best_effort")
_TRANSIENT_LOCAL = (1, "transient_local")
_KEEP_ALL = (2, "keep_all")
"""Policies by rmw's numbers, as rosbag2 wrote them up to version 8, and by their words, as later versions do."""
_MAX_DEPTH = 10_000
"""Larger depths of a file are made up, or are rmw's way to say that everything is kept."""
_LONGEST = 10_000
"""Maximum length of the text of a topic's profiles; each of them takes some 400 letters."""


@dataclass(frozen=True)
class RecordedTopic:
    """A topic of a recording.

    Attributes:
        name: Absolute name.
        type: Type of the messages, such as sensor_msgs/msg/PointCloud2.
        type_hash: RIHS01 hash of the type; None where the recording does not have it.
        qos: Quality of service of its publishers; the first one's where they differ.
    """

    name: str
    type: str
    type_hash: str | None
    qos: Qos


def quality_in(text: str) -> Qos:
    """Returns the quality of service in rosbag2's `offered_qos_profiles`, a list in YAML; the default if it has none.

    What cannot be understood is the default too: a recording is not refused for it.
    """
    try:
        profiles = yaml.safe_load(text[:_LONGEST])
        (profile, *_) = profiles
        return _quality(profile["history"], profile["depth"], profile["reliability"], profile["durability"])
    except (yaml.YAMLError, ValueError, TypeError, KeyError, IndexError, RecursionError):
        return RELIABLE


def quality_of(profiles: Sequence[RosbagsQos]) -> Qos:
    """Returns the first of some profiles as `rosbags` reads them; the default if there are none."""
    if not profiles:
        return RELIABLE
    first = profiles[0]
    return _quality(first.history.value, first.depth, first.reliability.value, first.durability.value)


def _quality(history: object, depth: object, reliability: object, durability: object) -> Qos:
    known = isinstance(depth, int) and 1 <= depth <= _MAX_DEPTH
    kept = depth if known and isinstance(depth, int) else RELIABLE.depth
    return Qos(
        reliable=reliability not in _BEST_EFFORT,
        latched=durability in _TRANSIENT_LOCAL,
        depth=None if history in _KEEP_ALL else kept,
    )
