from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perception_datasets.stores.schema import Schema

SCHEMA = Schema((("points", "<f8", 2), ("labels", "<i8", 1), ("flags", "|b1", 1)))


@settings(deadline=None, max_examples=40)
@given(
    points=hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4)),
    flags=st.lists(st.booleans(), max_size=9),
)
def test_unpacking_restores_packed_records_exactly(points: np.ndarray, flags: list[bool]) -> None:
    record = {"points": points, "labels": np.arange(len(flags)), "flags": np.array(flags, bool)}
    data, shapes = SCHEMA.pack(record)
    assert len(data) == SCHEMA.size(shapes)
    assert len(data) % 8 == 0
    for name, values in SCHEMA.unpack(np.frombuffer(bytearray(data), np.uint8), shapes).items():
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
