from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perception_datasets.stores.schema import Schema

NO_ROWS = np.zeros((0, 0), np.uint8)
SCHEMA = Schema((("points", "<f8", 2), ("labels", "<i8", 1), ("flags", "|b1", 1)))


@settings(deadline=None, max_examples=40)
@given(
    points=hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4)),
    flags=st.lists(st.booleans(), max_size=9),
)
def test_unpacking_restores_packed_records_exactly(points: np.ndarray, flags: list[bool]) -> None:
    record = {"points": points, "labels": np.arange(len(flags)), "flags": np.array(flags, bool)}
    data, rows, shapes = SCHEMA.pack(record)
    assert len(data) == SCHEMA.size(shapes)
    assert len(data) % 8 == 0
    assert rows == b""
    for name, values in SCHEMA.unpack(np.frombuffer(bytearray(data), np.uint8), NO_ROWS, shapes).items():
        assert values.tobytes() == record[name].tobytes()
        assert (values.shape, values.dtype) == (record[name].shape, record[name].dtype)
        assert values.flags.writeable  # torch.from_numpy warns of others
        assert values.flags.aligned


def test_a_record_of_another_type_is_refused() -> None:
    record = {"points": np.zeros((5, 3)), "labels": np.zeros(5, np.int32), "flags": np.zeros(2, bool)}
    with pytest.raises(ValueError, match="labels: expected 1 axes of <i8, got 1 of <i4"):
        SCHEMA.pack(record)


def test_the_rows_of_a_field_are_in_the_shapes() -> None:
    assert SCHEMA.axes == 4
    assert [SCHEMA.rows(name, [5, 3, 6, 2]) for name in ("points", "labels", "flags")] == [5, 6, 2]


LANES = Schema((("kinds", "<i8", 1),), shared=(("ids", "<i8", 1), ("lines", "<f8", 3), ("flags", "|b1", 1)))


@settings(deadline=None, max_examples=20)
@given(lanes=st.integers(0, 4), points=st.integers(0, 3))
def test_shared_fields_become_rows_of_one_length_and_return(lanes: int, points: int) -> None:
    rng = np.random.default_rng(0)
    record = {
        "kinds": np.arange(3),
        "ids": rng.integers(0, 9, lanes),
        "lines": rng.normal(size=(lanes, points, 2)),
        "flags": rng.random(lanes) < 0.5,
    }
    data, rows, shapes = LANES.pack(record)
    size = 8 + 16 * points + 1
    assert LANES.table_shape(shapes) == (lanes, size)
    assert len(rows) == lanes * size
    assert (LANES.axes, LANES.rows("lines", shapes), LANES.rows("kinds", shapes)) == (6, lanes, 3)
    table = np.frombuffer(rows, np.uint8).reshape(lanes, size)
    for name, values in LANES.unpack(np.frombuffer(bytearray(data), np.uint8), table, shapes).items():
        np.testing.assert_array_equal(values, record[name], strict=True)
        assert values.flags.writeable
        assert values.flags.aligned


def test_shared_fields_of_different_lengths_are_refused() -> None:
    record = {"kinds": np.arange(3), "ids": np.arange(2), "lines": np.zeros((3, 1, 2)), "flags": np.zeros(2, bool)}
    with pytest.raises(ValueError, match=r"expected as many rows in each shared field, found \[2, 3\]"):
        LANES.pack(record)
