from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import POINT_CLOUD, header, make, serialize
from perception_nodes.ros.point_cloud import MAX_FIELDS, MAX_POINTS, read_point_cloud

FLOAT32, FLOAT64, UINT8, UINT32 = 7, 8, 2, 6
KINDS = {1: "i1", UINT8: "u1", 3: "i2", 4: "u2", 5: "i4", UINT32: "u4", FLOAT32: "f4", FLOAT64: "f8"}
XYZ = {"x": (0, FLOAT32), "y": (4, FLOAT32), "z": (8, FLOAT32)}


def make_cloud(columns: dict[str, np.ndarray], layout: dict[str, tuple[int, int]], **changes: Any) -> Any:
    """A message of points with named columns at the offsets and of the types of a layout."""
    step, order = 32, ">" if changes.get("is_bigendian") else "<"
    count = len(next(iter(columns.values())))
    offsets, kinds = zip(*(layout[name] for name in columns), strict=True)
    formats = [order + KINDS[kind] for kind in kinds]
    kind = np.dtype({"names": list(columns), "formats": formats, "offsets": list(offsets), "itemsize": step})
    packed = np.zeros(count, kind)
    for name, column in columns.items():
        packed[name] = column
    fields = {
        "header": header(5_000_000_007, "lidar"),
        "height": 1,
        "width": count,
        "fields": [
            make("sensor_msgs/msg/PointField", name=name, offset=offset, datatype=kind, count=1)
            for name, (offset, kind) in layout.items()
        ],
        "is_bigendian": False,
        "point_step": step,
        "row_step": step * count,
        "data": np.frombuffer(packed.tobytes(), np.uint8),
        "is_dense": True,
    }
    return make(POINT_CLOUD, **{**fields, **changes})


def field(name: str, **changes: int) -> Any:
    return make("sensor_msgs/msg/PointField", **{"name": name, "offset": 0, "datatype": FLOAT32, "count": 1, **changes})


def positions(count: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=count).astype(np.float32) for name in "xyz"}


def read(message: Any):
    return read_point_cloud(serialize(message, POINT_CLOUD))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("kind", [FLOAT32, FLOAT64])
def test_positions_are_read_at_any_offset_in_either_order_of_bytes(kind: int, big: bool) -> None:
    columns = positions()
    cloud = read(make_cloud(columns, {"z": (3, kind), "x": (12, kind), "y": (21, kind)}, is_bigendian=big))
    assert (cloud.stamp_ns, cloud.frame_id, cloud.colors) == (5_000_000_007, "lidar", None)
    np.testing.assert_array_equal(cloud.points, np.stack([columns[name] for name in "xyz"], axis=-1))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_positions_may_be_of_any_type(kind: int, big: bool) -> None:
    columns = {name: np.array([0, 3, 100 + row]) for row, name in enumerate("xyz")}
    cloud = read(make_cloud(columns, {"x": (0, FLOAT32), "y": (7, kind), "z": (16, kind)}, is_bigendian=big))
    np.testing.assert_array_equal(cloud.points, np.stack([columns[name] for name in "xyz"], axis=-1))
    assert cloud.points.dtype.kind == "f"
    cloud = read(make_cloud(columns, dict(zip("xyz", ((0, kind), (8, kind), (16, kind)), strict=True))))
    assert cloud.points.dtype.kind == "f"


def test_rows_may_be_padded_and_points_be_no_numbers() -> None:
    columns = positions()
    columns["x"][2] = np.nan
    message = make_cloud(columns, XYZ, height=2, width=2, row_step=96)
    points = np.stack([columns[name] for name in "xyz"], axis=-1)
    np.testing.assert_array_equal(read(message).points, points[[0, 1, 3, 4]])
    message = make_cloud(columns, XYZ, row_step=0)  # as some drivers leave it
    np.testing.assert_array_equal(read(message).points, points)


@pytest.mark.parametrize("name", ["rgb", "rgba"])
@pytest.mark.parametrize("kind", [FLOAT32, UINT32])
@pytest.mark.parametrize("big", [False, True])
def test_packed_colours_are_taken_apart(name: str, kind: int, big: bool) -> None:
    colors = np.random.default_rng(1).integers(0, 256, (6, 3), np.uint8)
    words = (colors.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(axis=1, dtype=np.uint32)
    packed = words if kind == UINT32 else words.view(np.float32)
    cloud = read(make_cloud(positions() | {name: packed}, XYZ | {name: (16, kind)}, is_bigendian=big))
    assert cloud.colors is not None
    np.testing.assert_array_equal(cloud.colors, colors)


def test_colours_in_three_fields_are_read_too() -> None:
    colors = np.random.default_rng(1).integers(0, 256, (6, 3), np.uint8)
    columns = dict(zip("rgb", colors.T, strict=True))
    layout = {name: (16 + place, UINT8) for place, name in enumerate("bgr")}
    cloud = read(make_cloud(positions() | columns, XYZ | layout))
    assert cloud.colors is not None
    np.testing.assert_array_equal(cloud.colors, colors)


def test_no_points_are_a_cloud() -> None:
    assert len(read(make_cloud(positions(0), XYZ)).points) == 0
    assert len(read(make_cloud(positions(), XYZ, height=0, width=2**32 - 1)).points) == 0


def test_a_list_of_very_many_fields_is_refused_before_it_is_read() -> None:
    message = make_cloud(positions(), XYZ)
    for count, complaint in (
        (MAX_FIELDS, "without one number"),
        (MAX_FIELDS + 1, "65 fields at byte"),
    ):
        message.fields = [make("sensor_msgs/msg/PointField", name="", offset=0, datatype=7, count=1)] * count
        with pytest.raises(MalformedMessage, match=complaint):
            read(message)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (make_cloud(positions(), XYZ, width=7), "a cloud of 1 rows of 7 points of 32 bytes"),
        (make_cloud(positions(), XYZ, height=2), "expected as many as they take"),
        (make_cloud(positions(), XYZ, height=2, width=3, row_step=95), "a row every 95"),
        (make_cloud(positions(), XYZ, height=2**31, width=2**31), f"expected at most {MAX_POINTS}"),
        (make_cloud(positions(), XYZ, point_step=11), "field 'z' at byte 8 of points of 11 bytes"),
        (make_cloud(positions(), XYZ, fields=[field("x"), field("y"), field("z", datatype=9)]), "one number 'z'"),
        (make_cloud(positions(), XYZ, fields=[field("x", count=2), field("y"), field("z")]), "one number 'x'"),
        (make_cloud({"x": np.zeros(2), "y": np.zeros(2)}, {"x": (0, 7), "y": (4, 7)}), "it has x, y"),
        (make_cloud(positions(), XYZ, fields=[]), "it has no fields"),
        (make_cloud(positions(), XYZ | {"rgb": (16, FLOAT64)}), "without one uint32 or int32 or float32 'rgb'"),
    ],
)
def test_a_cloud_that_contradicts_itself_is_malformed(message: Any, complaint: str) -> None:
    with pytest.raises(MalformedMessage) as error:
        read(message)
    assert complaint in str(error.value)


@settings(deadline=None, max_examples=300)
@given(at=st.floats(0, 1), noise=st.binary(max_size=12), skipped=st.integers(0, 12))
def test_a_spliced_cloud_is_refused_or_read_and_nothing_else(at: float, noise: bytes, skipped: int) -> None:
    data = _sound()
    begin = int(at * len(data))
    _read_or_refuse(data[:begin] + noise + data[begin + skipped :])


def test_four_thousand_clouds_with_flipped_bytes_are_refused_or_read_and_nothing_else() -> None:
    rng, data, read_count = np.random.default_rng(0), _sound(), 0
    for _ in range(4000):
        mutated = bytearray(data)
        for place in rng.integers(4, len(data), rng.integers(1, 4)):
            mutated[place] = (0, 1, 0x7F, 0x80, 0xFF, rng.integers(256))[rng.integers(6)]
        read_count += _read_or_refuse(bytes(mutated))
    assert 400 < read_count < 3900  # both happened, often


def _sound() -> bytes:
    colors = dict.fromkeys("rgb", np.zeros(6, np.uint8))
    layout = {name: (16 + place, UINT8) for place, name in enumerate("rgb")}
    return serialize(make_cloud(positions() | colors, XYZ | layout, height=2, width=3, row_step=96), POINT_CLOUD)


def _read_or_refuse(cdr: bytes) -> bool:
    try:
        cloud = read_point_cloud(cdr)
    except MalformedMessage:
        return False
    assert cloud.points.shape == (len(cloud.points), 3)
    assert len(cloud.points) <= MAX_POINTS
    assert cloud.colors is None or cloud.colors.shape == cloud.points.shape
    return True
