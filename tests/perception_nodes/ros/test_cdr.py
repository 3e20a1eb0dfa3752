from __future__ import annotations

import math
import random
import resource
import struct
import time
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.errors import InputError
from perception_nodes.ros.cdr import (
    MAX_OBJECTS,
    MAX_PATHS,
    read_predicted_objects,
    read_tracked_objects,
    write_predicted_objects,
    write_tracked_objects,
)
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import PREDICTED_OBJECTS, TRACKED_OBJECTS, serialize
from perception_nodes.ros.objects import Objects, PredictedObjects, TrackedObjects

lengths = st.integers(0, 5)
frames = st.text(max_size=9).filter(lambda text: text.isprintable())
tracked_lists = st.lists(st.tuples(lengths, lengths), max_size=5)
predicted_lists = st.lists(st.tuples(lengths, lengths, st.lists(lengths, max_size=4).map(tuple)), max_size=5)


def expect_equal(read: Objects, written: Objects) -> None:
    assert type(read) is type(written)
    for field in fields(written):
        got, expected = getattr(read, field.name), getattr(written, field.name)
        np.testing.assert_array_equal(got, expected, err_msg=field.name, strict=True)


@settings(deadline=None, max_examples=60)
@given(lists=tracked_lists, frame_id=frames, seed=st.integers(0, 99))
def test_tracked_objects_are_written_as_rosbags_writes_them_and_read_back(
    make_tracked: Callable[..., TrackedObjects], as_rosbags: Callable, lists: list, frame_id: str, seed: int
) -> None:
    classes, corners = zip(*lists, strict=True) if lists else ((), ())
    objects = make_tracked(seed, classes, corners, frame_id)
    data = write_tracked_objects(objects)
    assert data == serialize(as_rosbags(objects), TRACKED_OBJECTS)
    expect_equal(read_tracked_objects(data), objects)


@settings(deadline=None, max_examples=60)
@given(lists=predicted_lists, frame_id=frames, seed=st.integers(0, 99))
def test_predicted_objects_are_written_as_rosbags_writes_them_and_read_back(
    make_predicted: Callable[..., PredictedObjects], as_rosbags: Callable, lists: list, frame_id: str, seed: int
) -> None:
    classes, corners, poses = zip(*lists, strict=True) if lists else ((), (), ())
    objects = make_predicted(seed, classes, corners, poses, frame_id)
    data = write_predicted_objects(objects)
    assert data == serialize(as_rosbags(objects), PREDICTED_OBJECTS)
    expect_equal(read_predicted_objects(data), objects)


def mutate(chance: random.Random, data: bytes) -> bytes:
    """Flips, overwrites, cuts, doubles or moves some bytes, mostly those of counts, which are in the first half."""
    broken = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(max(len(broken), 1))
        action = chance.randrange(6)
        if action == 0 and broken:
            broken[at] ^= 1 << chance.randrange(8)
        elif action == 1:
            word = struct.pack("<I", chance.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 10**6, len(data)]))
            broken[at // 4 * 4 : at // 4 * 4 + 4] = word
        elif action == 2:
            del broken[at:]
        elif action == 3:
            broken[at:at] = broken[at : at + chance.randrange(1, 64)]
        elif action == 4:
            broken[at : at + 8] = struct.pack("<d", chance.choice([math.nan, math.inf, -1e308]))
        else:
            broken += chance.randbytes(chance.randrange(1, 8))
    return bytes(broken)


def fuzz(rounds: int, make_tracked: Callable, make_predicted: Callable) -> dict[str, float]:
    """Reads mutated messages; fails on any error but MalformedMessage, and if what it reads cannot be written."""
    chance = random.Random(0)  # several times as fast as NumPy's for single numbers
    cases = [
        (read_tracked_objects, write_tracked_objects, bytes(write_tracked_objects(make_tracked()))),
        (read_predicted_objects, write_predicted_objects, bytes(write_predicted_objects(make_predicted()))),
    ]
    refused, slowest = 0, 0.0
    for number in range(rounds):
        read, write, data = cases[number % 2]
        broken = mutate(chance, data)
        started = time.thread_time()
        try:
            objects = read(broken)
        except MalformedMessage:
            refused += 1
        else:
            objects.sound  # noqa: B018 it must not fail, warnings being errors
            assert abs(len(write(objects)) - len(broken)) <= 3
        slowest = max(slowest, time.thread_time() - started)
    return {"refused": refused, "slowest_s": slowest}


def test_mutated_messages_are_refused_or_read_and_nothing_else(
    make_tracked: Callable, make_predicted: Callable
) -> None:
    assert 500 < fuzz(2_000, make_tracked, make_predicted)["refused"] < 2_000


@pytest.mark.slow
def test_a_hundred_thousand_mutated_messages_neither_crash_nor_hang_nor_fill_memory(
    make_tracked: Callable, make_predicted: Callable
) -> None:
    fuzz(2_000, make_tracked, make_predicted)
    before = peak_memory_bytes()
    found = fuzz(100_000, make_tracked, make_predicted)
    print(f"\n{found}, memory grew by {peak_memory_bytes() - before} bytes")
    assert found["slowest_s"] < 1.0
    assert peak_memory_bytes() - before < 20_000_000


def peak_memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_what_lies_in_padding_does_not_matter(make_tracked: Callable[..., TrackedObjects]) -> None:
    """ROS's own writer leaves random bytes in gaps, and pads the end to a multiple of four."""
    objects = make_tracked(classes=(1,), corners=(0,), frame_id="map")
    data = write_tracked_objects(objects)
    label_at = 4 + 12 + 4 + 4 + 24  # encapsulation, stamp and length, text, count, the object's head
    assert data[label_at] == objects.class_labels[0]
    data[label_at + 1 : label_at + 4] = b"\xde\xad\xbf"
    expect_equal(read_tracked_objects(data + b"\xef\xff\x01"), objects)


def test_counts_beyond_the_limits_are_refused_before_room_is_made(make_predicted: Callable) -> None:
    many = make_predicted(classes=(0,), corners=(0,), poses=((0,) * (MAX_PATHS + 1),))
    with pytest.raises(MalformedMessage, match=f"{MAX_PATHS + 1} paths"):
        read_predicted_objects(write_predicted_objects(many))
    empty = bytes(write_predicted_objects(make_predicted(classes=(), corners=(), poses=())))
    for count in (1, MAX_OBJECTS + 1, 2**32 - 1):
        with pytest.raises(MalformedMessage, match=f"{count} objects"):
            read_predicted_objects(empty[:-4] + struct.pack("<I", count))


@pytest.mark.parametrize(("at", "word"), [(4, -1), (8, 10**9)])
def test_a_stamp_that_is_no_time_is_refused(make_tracked: Callable, at: int, word: int) -> None:
    data = write_tracked_objects(make_tracked())
    struct.pack_into("<i", data, at, word)
    with pytest.raises(MalformedMessage, match="seconds"):
        read_tracked_objects(data)


def test_a_time_step_with_too_many_nanoseconds_is_refused(make_predicted: Callable) -> None:
    objects = make_predicted(classes=(0,), corners=(0,), poses=((0,),))
    data = write_predicted_objects(objects)
    at = data.index(struct.pack("<f", objects.path_confidences[0])) - 4
    struct.pack_into("<I", data, at, 10**9)
    with pytest.raises(MalformedMessage, match="time step"):
        read_predicted_objects(data)


@pytest.mark.parametrize("stamp_ns", [-1, 2**31 * 10**9])
def test_a_stamp_that_ros_cannot_say_is_not_written(make_tracked: Callable, stamp_ns: int) -> None:
    with pytest.raises(InputError, match="stamp_ns"):
        write_tracked_objects(replace(make_tracked(), stamp_ns=stamp_ns))


def test_the_fast_way_is_fast(as_rosbags: Callable) -> None:
    """64 objects, 6 modes, 60 poses: 0.5 ms to write and 0.8 ms to read on a quiet core. Held loosely, to rosbags."""
    rng = np.random.default_rng(0)
    tracked = TrackedObjects.planar(
        0, "map", np.zeros((64, 16), np.uint8), np.zeros((64, 2)), np.zeros(64), np.zeros((64, 2)), np.ones(64, int),
        np.ones((64, 3)),
    )  # fmt: skip
    six = np.full(64, 6)
    objects = tracked.predict(six, rng.normal(size=(384, 60, 2)), rng.normal(size=(384, 60)), np.ones(384), 0.1)
    message = as_rosbags(objects)
    plain_s = least_seconds(lambda: serialize(message, PREDICTED_OBJECTS), times=2)
    data = write_predicted_objects(objects)
    assert least_seconds(lambda: write_predicted_objects(objects), times=10) < plain_s / 10
    assert least_seconds(lambda: read_predicted_objects(data), times=10) < plain_s / 10


def least_seconds(function: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        started = time.process_time()
        function()
        taken.append(time.process_time() - started)
    return min(taken)
