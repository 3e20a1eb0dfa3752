from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perception_datasets.stores.frames import read_frame, write_frame
from perception_datasets.stores.schema import Schema

SCHEMA = Schema((("points", "<f8", 2), ("labels", "<i4", 1), ("flags", "|b1", 1)), shared=(("ids", "<i8", 1),))


@settings(deadline=None, max_examples=40)
@given(
    points=hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4)),
    flags=st.lists(st.booleans(), max_size=9),
    places=st.lists(st.integers(0, 2**31 - 1), max_size=5),
)
def test_a_frame_gives_bytes_and_places_back(points: np.ndarray, flags: list[bool], places: list[int]) -> None:
    numbers = np.array(places, np.int32)
    record = {"points": points, "labels": np.arange(3, dtype=np.int32), "flags": np.array(flags, bool)}
    data, _, shapes = SCHEMA.pack({**record, "ids": np.arange(len(places))})
    found, rows = read_frame(SCHEMA, write_frame(SCHEMA, data, numbers, shapes), shapes)
    assert found.tobytes() == data
    np.testing.assert_array_equal(rows, numbers, strict=True)


def test_equal_high_bytes_take_next_to_no_space() -> None:
    points = 1000.0 + np.random.default_rng(0).integers(0, 255, (500, 2)) / 256
    record = {"points": points, "labels": np.zeros(0, np.int32), "flags": np.zeros(0, bool), "ids": np.zeros(0, int)}
    data, _, shapes = SCHEMA.pack(record)
    assert len(write_frame(SCHEMA, data, np.zeros(0, np.int32), shapes)) < 0.25 * len(data)


def test_a_frame_that_states_more_than_its_shapes_is_refused() -> None:
    record = {"points": np.ones((9, 2)), "labels": np.zeros(1, np.int32), "flags": np.zeros(1, bool)}
    data, _, shapes = SCHEMA.pack({**record, "ids": np.zeros(0, int)})
    frame = write_frame(SCHEMA, data, np.zeros(0, np.int32), shapes)
    with pytest.raises(OSError, match="ZSTD"):
        read_frame(SCHEMA, frame, [1, 2, *shapes[2:]])
