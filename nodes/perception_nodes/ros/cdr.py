"""Reads and writes TrackedObjects and PredictedObjects as CDR, by numpy instead of a Python object for each pose.

Plain CDR version 1, little-endian (encapsulation 00 01), as every ROS 2 middleware sends it: a number is aligned to its
size, counted from the end of the four bytes of encapsulation; a list is a uint32 count and its members. An object is

    uuid[16], existence f4, class count u4, (label u1, 3 pad, probability f4) × classes, pad to 8, kinematics 127 × f8,
    PredictedObject: path count u4, (pose count u4, 7 × f8 × poses, time step i4 s u4 ns, confidence f4) × paths,
                     shape type u1, 3 pad,
    TrackedObject: orientation availability u1, is stationary u1, shape type u1, 1 pad,
    corner count u4, 3 × f4 × corners, pad to 8, dimensions 3 × f8

The kinematics end on a multiple of 8, so every path begins 4 bytes after one and its poses need no padding. `rosbags`
writes the same bytes from the .msg files, some hundred times slower; the tests hold the two equal.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from perception.errors import InputError
from perception_nodes.ros.cdr_payload import Buffer, MalformedMessage, Payload, blank_message, up_to_8
from perception_nodes.ros.objects import Objects, PredictedObjects, TrackedObjects, numbers_within

MAX_OBJECTS = 4096
MAX_PATHS = 64
"""Maximum number of one object's paths. With `MAX_OBJECTS` it bounds the time that a hostile message can take."""

_NS = 1_000_000_000
_KINEMATICS = {
    "poses": 7,
    "pose_covariances": 36,
    "twists": 6,
    "twist_covariances": 36,
    "accelerations": 6,
    "acceleration_covariances": 36,
}
_KINEMATICS_BYTES = 8 * sum(_KINEMATICS.values())
_KINEMATICS_AT = [8 * sum(list(_KINEMATICS.values())[:number]) for number in range(len(_KINEMATICS))]
_SMALLEST_OBJECT = 24 + _KINEMATICS_BYTES + 8 + 24


def write_tracked_objects(objects: TrackedObjects) -> bytearray:
    """Returns the CDR of an `autoware_perception_msgs/msg/TrackedObjects`."""
    message, places = _write_objects(objects, np.zeros(len(objects), np.int64))
    payload = Payload(message)
    payload.put("u1", places.tail, objects.orientation_availability)
    payload.put("u1", places.tail + 1, objects.is_stationary)
    payload.put("u1", places.tail + 2, objects.shape_types)
    return message


def read_tracked_objects(data: Buffer) -> TrackedObjects:
    """Returns the content of a CDR `autoware_perception_msgs/msg/TrackedObjects`; raises `MalformedMessage`."""
    payload = Payload.received(data)
    arrays, places = _read_objects(payload, skip_paths=lambda at: at)
    return TrackedObjects(
        **arrays,
        orientation_availability=payload.take("u1", places.tail),
        is_stationary=payload.take("u1", places.tail + 1) != 0,
        shape_types=payload.take("u1", places.tail + 2),
    )


def write_predicted_objects(objects: PredictedObjects) -> bytearray:
    """Returns the CDR of an `autoware_perception_msgs/msg/PredictedObjects`."""
    ends = np.concatenate([[0], np.cumsum(16 + 56 * objects.pose_counts)])
    last = np.cumsum(objects.path_counts)
    first = last - objects.path_counts
    message, places = _write_objects(objects, 4 + ends[last] - ends[first])
    payload = Payload(message)
    paths = ends[:-1] + np.repeat(places.paths + 4 - ends[first], objects.path_counts)
    payload.put("<u4", places.paths, objects.path_counts)
    payload.put("<u4", paths, objects.pose_counts)
    payload.put_runs(paths + 4, objects.pose_counts, objects.path_poses)
    steps = paths + 4 + 56 * objects.pose_counts
    payload.put("<i4", steps, objects.path_time_steps_ns // _NS)
    payload.put("<u4", steps + 4, objects.path_time_steps_ns % _NS)
    payload.put("<f4", steps + 8, objects.path_confidences)
    payload.put("u1", places.tail, objects.shape_types)
    return message


def read_predicted_objects(data: Buffer) -> PredictedObjects:
    """Returns the content of a CDR `autoware_perception_msgs/msg/PredictedObjects`; raises `MalformedMessage`."""
    payload = Payload.received(data)
    path_counts, found = [], []

    def skip_paths(at: int) -> int:
        """Notes where an object's paths are and how long they are; returns the end of the last."""
        path_counts.append(payload.count(at, at_most=MAX_PATHS, what="paths"))
        at += 4
        for _ in range(path_counts[-1]):
            poses = payload.count(at, what="poses")
            found.append((at, poses))
            at += 16 + 56 * poses
        return at

    arrays, places = _read_objects(payload, skip_paths)
    paths, pose_counts = np.array(found, np.int64).reshape(-1, 2).T
    steps = paths + 4 + 56 * pose_counts
    nanoseconds = payload.take("<u4", steps + 4).astype(np.int64)
    if (nanoseconds >= _NS).any():
        raise MalformedMessage("a path's time step has a second or more in nanosec; expected less than 1e9")
    return PredictedObjects(
        **arrays,
        path_counts=np.array(path_counts, np.int64),
        path_time_steps_ns=payload.take("<i4", steps).astype(np.int64) * _NS + nanoseconds,
        path_confidences=payload.take("<f4", steps + 8),
        pose_counts=pose_counts,
        path_poses=payload.take_runs(paths + 4, pose_counts, width=7),
        shape_types=payload.take("u1", places.tail),
    )


Offsets = Int64[np.ndarray, " objects"]


@dataclass(frozen=True)
class _Places:
    """Offsets of the parts of each object, in bytes after the encapsulation.

    Attributes:
        head: Start of the object.
        kinematics: Start of the kinematics.
        tail: The four bytes before the corner count.
        dimensions: Start of the dimensions.
    """

    head: Offsets
    kinematics: Offsets
    tail: Offsets
    dimensions: Offsets

    @property
    def paths(self) -> Offsets:
        """Where a PredictedObject's paths start, after the kinematics; a TrackedObject's tail is there."""
        return self.kinematics + _KINEMATICS_BYTES


def _write_objects(objects: Objects, path_bytes: Offsets) -> tuple[bytearray, _Places]:
    """Returns a message with everything but paths and tails, and room of `path_bytes` for each object's paths."""
    count = len(objects)
    header = _write_header(objects.stamp_ns, objects.frame_id, count)
    heads = 24 + 8 * objects.class_counts
    tails = _KINEMATICS_BYTES + path_bytes
    dimensions = up_to_8(tails + 8 + 12 * objects.footprint_counts)
    bodies = dimensions + 24
    first = up_to_8(len(header) + int(heads[:1].sum()))
    kinematics = first + np.concatenate([[0], np.cumsum(bodies[:-1] + heads[1:])])[:count]
    ends = np.concatenate([[len(header)], kinematics + bodies])
    places = _Places(ends[:-1], kinematics, kinematics + tails, kinematics + dimensions)

    message = blank_message(int(ends[-1]))
    payload = Payload(message)
    payload.view("u1")[: len(header)] = np.frombuffer(header, np.uint8)
    payload.put_rows("u1", places.head, objects.ids)
    payload.put("<f4", places.head + 16, objects.existence)
    payload.put("<u4", places.head + 20, objects.class_counts)
    classes = _members(places.head + 24, objects.class_counts, width=8)
    payload.put("u1", classes, objects.class_labels)
    payload.put("<f4", classes + 4, objects.class_probabilities)
    for name, offset in zip(_KINEMATICS, _KINEMATICS_AT, strict=True):
        payload.put_rows("<f8", places.kinematics + offset, getattr(objects, name))
    payload.put("<u4", places.tail + 4, objects.footprint_counts)
    payload.put_rows("<f4", _members(places.tail + 8, objects.footprint_counts, width=12), objects.footprints)
    payload.put_rows("<f8", places.dimensions, objects.dimensions)
    return message, places


def _read_objects(payload: Payload, skip_paths: Callable[[int], int]) -> tuple[dict[str, Any], _Places]:
    """Returns the fields that tracked and predicted objects share, and where the others are.

    `skip_paths` gets the end of the next object's kinematics, and returns the start of its tail.
    """
    stamp_ns, frame_id, count, at = _read_header(payload)
    offsets, class_counts, footprint_counts = [], [], []
    for _ in range(count):
        head = at
        class_counts.append(payload.count(head + 20, what="classes"))
        kinematics = up_to_8(head + 24 + 8 * class_counts[-1])
        tail = skip_paths(kinematics + _KINEMATICS_BYTES)
        footprint_counts.append(payload.count(tail + 4, what="corners"))
        dimensions = up_to_8(tail + 8 + 12 * footprint_counts[-1])
        offsets.append((head, kinematics, tail, dimensions))
        at = dimensions + 24
    payload.expect_end(at)

    places = _Places(*np.array(offsets, np.int64).reshape(-1, 4).T)
    class_counts, footprint_counts = np.array(class_counts, np.int64), np.array(footprint_counts, np.int64)
    classes = _members(places.head + 24, class_counts, width=8)
    arrays = {
        "stamp_ns": stamp_ns,
        "frame_id": frame_id,
        "ids": payload.take_rows("u1", places.head, 16),
        "existence": payload.take("<f4", places.head + 16),
        "class_counts": class_counts,
        "class_labels": payload.take("u1", classes),
        "class_probabilities": payload.take("<f4", classes + 4),
        **{
            name: payload.take_rows("<f8", places.kinematics + offset, width)
            for (name, width), offset in zip(_KINEMATICS.items(), _KINEMATICS_AT, strict=True)
        },
        "footprint_counts": footprint_counts,
        "footprints": payload.take_rows("<f4", _members(places.tail + 8, footprint_counts, width=12), 3),
        "dimensions": payload.take_rows("<f8", places.dimensions, 3),
    }
    return arrays, places


def _write_header(stamp_ns: int, frame_id: str, count: int) -> bytes:
    """Returns a std_msgs/Header and the number of objects; they end on a multiple of 4."""
    seconds, nanoseconds = divmod(stamp_ns, _NS)
    if not 0 <= seconds < 2**31:
        raise InputError(f"stamp_ns={stamp_ns} does not fit a ROS time; expected 0 to {2**31 * _NS - 1}")
    text = frame_id.encode() + b"\0"
    padding = bytes(-len(text) % 4)
    return struct.pack("<iII", seconds, nanoseconds, len(text)) + text + padding + struct.pack("<I", count)


def _read_header(payload: Payload) -> tuple[int, str, int, int]:
    """Returns stamp, frame, number of objects, and the offset of the first of them."""
    seconds = payload.count(0, what="seconds (negative)", at_most=2**31 - 1)
    nanoseconds = payload.count(4, what="nanoseconds of a stamp", at_most=_NS - 1)
    frame_id, at = payload.string(8, what="frame_id")
    at += -at % 4
    count = payload.count(at, what="objects", at_most=MAX_OBJECTS)
    if count * _SMALLEST_OBJECT > payload.size:
        raise MalformedMessage(
            f"{count} objects in a message of {payload.size} bytes; one has at least {_SMALLEST_OBJECT}"
        )
    return seconds * _NS + nanoseconds, frame_id, count, at + 4


def _members(at: Offsets, counts: Offsets, width: int) -> Int64[np.ndarray, " members"]:
    """Returns the offsets of the members of lists, from the offset of each list and the bytes of a member."""
    return np.repeat(at, counts) + width * numbers_within(counts)
