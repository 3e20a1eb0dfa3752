from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.lanelet2_map import MapWriter
from perception.traffic.scenario import MapPolylines, PolylineKind, Turn
from perception_datasets.errors import RecordError
from perception_datasets.lanelet2.lanes import _aligned, read_lanelet2
from perception_datasets.lanelet2.projection import PROJECTOR_FILE, Projector

LEFT, RIGHT = [(0.0, 2.0), (20.0, 2.0)], [(0.0, -2.0), (20.0, -2.0)]


def lanes_of(path: Path) -> MapPolylines:
    return read_lanelet2(path).index.polylines


def test_a_small_map_has_all_that_a_forecaster_reads(write_crossing, tmp_path: Path) -> None:
    found = read_lanelet2(write_crossing(tmp_path / "a.osm"))
    lanes = found.index.polylines
    assert found.left_out == {"walkway": 2}
    assert found.frame == "local_x and local_y of the points"
    assert [PolylineKind(kind).name for kind in lanes.kinds] == [
        *["VEHICLE_LANE"] * 4,  # the road of 250 m in three pieces, and the turn
        "BUS_LANE",
        "BIKE_LANE",
        "CROSSWALK",
    ]
    assert len(set(lanes.ids[:3])) == 1
    assert [Turn(turn).name for turn in lanes.turns[2:4]] == ["NONE", "LEFT"]
    assert lanes.is_intersection.tolist() == [False] * 3 + [True] + [False] * 3
    assert lanes.has_traffic_control.tolist() == [False] * 3 + [True] + [False] * 3
    np.testing.assert_allclose(lanes.points[:3, 0], [(-250, 0), (-250 + 250 / 3, 0), (-250 + 500 / 3, 0)], atol=1e-6)
    np.testing.assert_allclose(lanes.points[1:3, 0], lanes.points[0:2, -1])
    np.testing.assert_allclose(lanes.points[4, [0, -1]], [(0, 4), (50, 4)])
    np.testing.assert_allclose(lanes.points[6, [0, -1]], [(-18.5, -2), (-18.5, 8)])


@pytest.mark.parametrize("left", [LEFT, LEFT[::-1]])
@pytest.mark.parametrize("right", [RIGHT, RIGHT[::-1]])
def test_bounds_may_be_drawn_in_any_direction(osm: MapWriter, tmp_path: Path, left, right) -> None:
    osm.lanelet(left, right)
    lanes = lanes_of(osm.write(tmp_path / "a.osm"))
    np.testing.assert_allclose(lanes.points[0, [0, -1]], [(0, 0), (20, 0)])
    other = type(osm)()
    other.lanelet(right, left)  # the other way round
    np.testing.assert_allclose(lanes_of(other.write(tmp_path / "b.osm")).points[0, [0, -1]], [(20, 0), (0, 0)])


def test_a_bound_of_several_ways_is_joined_whichever_way_they_run(osm: MapWriter, tmp_path: Path) -> None:
    ways = [osm.way(line) for line in ([(10, 2), (0, 2)], [(10, 2), (20, 2)], RIGHT)]
    members = [("way", "left", ways[0]), ("way", "left", ways[1]), ("way", "right", ways[2])]
    osm.relation(members, type="lanelet", subtype="road")
    np.testing.assert_allclose(lanes_of(osm.write(tmp_path / "a.osm")).points[0, :, 1], 0, atol=1e-9)


def test_the_maps_own_centreline_is_preferred_and_turned(osm: MapWriter, tmp_path: Path) -> None:
    osm.lanelet(LEFT, RIGHT, centreline=[(20, 0.5), (0, 0.5)])
    np.testing.assert_allclose(lanes_of(osm.write(tmp_path / "a.osm")).points[0, [0, -1]], [(0, 0.5), (20, 0.5)])


@pytest.mark.parametrize(
    ("tags", "sign", "control"),
    [
        ({"subtype": "right_of_way"}, "", True),
        ({"subtype": "all_way_stop"}, "", True),
        ({"subtype": "traffic_sign"}, "stop_sign", True),
        ({"subtype": "traffic_sign"}, "de274", False),
        ({"subtype": "speed_limit"}, "", False),
        ({"subtype": "crosswalk"}, "", False),
    ],
)
def test_lights_priority_and_stop_signs_are_traffic_control(
    osm: MapWriter, tmp_path: Path, tags, sign, control
) -> None:
    refers = [("way", "refers", osm.way([(9, 9), (9, 8)], type="traffic_sign", subtype=sign))] if sign else []
    osm.lanelet(LEFT, RIGHT, [osm.relation(refers, type="regulatory_element", **tags)])
    assert lanes_of(osm.write(tmp_path / "a.osm")).has_traffic_control.tolist() == [control]


@pytest.mark.parametrize(("turn", "expected"), [("left", 1), ("right", 2), ("straight", 0), ("odd", 0)])
def test_a_turn_direction_is_in_an_intersection(osm: MapWriter, tmp_path: Path, turn: str, expected: int) -> None:
    osm.lanelet(LEFT, RIGHT, turn_direction=turn)
    lanes = lanes_of(osm.write(tmp_path / "a.osm"))
    assert (lanes.turns.tolist(), lanes.is_intersection.tolist()) == ([expected], [True])


def test_degrees_are_projected_as_the_file_beside_the_map_says(osm_in_degrees: MapWriter, tmp_path: Path) -> None:
    osm_in_degrees.lanelet([(8.4, 49.0), (8.401, 49.0)], [(8.4, 48.9999), (8.401, 48.9999)])
    path = osm_in_degrees.write(tmp_path / "a.osm")
    with pytest.raises(
        RecordError, match=r"local_x and local_y, or map_projector_info\.yaml beside the map, found neither"
    ):
        read_lanelet2(path)
    origin = "map_origin: {latitude: 49.0, longitude: 8.4, altitude: 0}"
    (tmp_path / PROJECTOR_FILE).write_text(f"projector_type: LocalCartesian\n{origin}\n")
    found = read_lanelet2(path)
    assert found.frame == "latitude and longitude by local_cartesian"
    np.testing.assert_allclose(found.index.polylines.points[0, -1], (73.1, -5.6), atol=0.1)
    again = read_lanelet2(path, Projector("local_cartesian", (49.0, 8.4, 0.0)))
    np.testing.assert_array_equal(again.index.polylines.points, found.index.polylines.points)
    (tmp_path / PROJECTOR_FILE).write_text("projector_type: Local\n")
    with pytest.raises(RecordError, match="found a local one there; give --projector"):
        read_lanelet2(path)
    with pytest.raises(RecordError, match="found none; give another --projector"):
        read_lanelet2(path, tags_only=True)
    with pytest.raises(RecordError, match="expected it within 1000 km of the origin, found it further away; compare"):
        read_lanelet2(path, Projector("local_cartesian", (-89.0, -170.0, 0.0)))
    path.write_text(path.read_text().replace('lon="8.401"', ""))
    with pytest.raises(RecordError, match=r"node 2: expected coordinates up to 90, 180, 10000, found 49.0, none, 0"):
        read_lanelet2(path, Projector("mgrs"))


def test_a_lanelet_around_the_globe_is_damage(osm: MapWriter, tmp_path: Path) -> None:
    osm.lanelet([(0, 2), (60_000, 2)], [(0, -2), (60_000, -2)])
    with pytest.raises(RecordError, match="expected a centreline of up to 50 km, found one of 60000 m"):
        read_lanelet2(osm.write(tmp_path / "a.osm"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            ('k="local_x" v="-250"', 'k="x" v="0"'),
            r"lanelet \d+, node \d+: expected local_x and local_y, as \d+ of \d+",
        ),
        (
            ('k="local_x" v="-250"', 'k="local_x" v="NaN"'),
            r"lanelet \d+, node \d+: expected coordinates up to 1e.07, 1e.07, found NaN",
        ),
        (
            ('k="local_x" v="-250"', 'k="local_x" v="far"'),
            r"lanelet \d+, node \d+: expected coordinates .* found far, 2",
        ),
        (('<nd ref="9"/>', '<nd ref="999"/>'), r"lanelet 12, way 11: expected the node 999 in the file, found none"),
        (('role="left" ref="7"', 'role="left" ref="999"'), r"lanelet 12: expected the way 999 in the file, found none"),
        (
            ('role="regulatory_element" ref="4"', 'role="regulatory_element" ref="9"'),
            r"expected the regulatory element 9",
        ),
        (('v="crosswalk"', 'v="roof"'), None),
        (('k="subtype"', 'k="subtyp"'), r"expected lanelets of the subtypes road, .*found 7 none"),
    ],
)
def test_what_cannot_be_used_is_named(write_crossing, tmp_path: Path, change, reason: str | None) -> None:
    path = write_crossing(tmp_path / "a.osm")
    text = path.read_text()
    assert change[0] in text, text[:3000]
    path.write_text(text.replace(*change))
    if reason is None:
        assert read_lanelet2(path).left_out == {"walkway": 2, "roof": 1}
        return
    with pytest.raises(RecordError, match=reason):
        read_lanelet2(path)


def test_a_way_of_one_point_and_a_lanelet_without_length_are_named(osm: MapWriter, tmp_path: Path) -> None:
    osm.lanelet([(0, 2)], RIGHT)
    with pytest.raises(RecordError, match=r"lanelet \d+, way \d+: expected at least 2 points, found 1"):
        read_lanelet2(osm.write(tmp_path / "a.osm"))
    osm.elements.clear()
    osm.lanelet([(1, 1), (1, 1)], [(1, 1), (1, 1)])
    with pytest.raises(RecordError, match="expected a centreline of up to 50 km, found one of 0 m"):
        read_lanelet2(osm.write(tmp_path / "a.osm"))


@given(st.floats(-np.pi, np.pi), st.floats(1, 6), st.floats(0, 0.02), st.booleans(), st.booleans())
def test_bounds_of_a_bent_lane_are_aligned_whatever_their_directions(
    heading: float, width_m: float, bend: float, flip_left: bool, flip_right: bool
) -> None:
    along = np.linspace(0, 60, 13)
    turned = heading + bend * along
    centre = np.cumsum(np.stack([np.cos(turned), np.sin(turned)], 1), 0) * 5
    side = np.stack([-np.sin(turned), np.cos(turned)], 1) * width_m / 2
    left, right = centre + side, centre - side
    found = _aligned(left[::-1] if flip_left else left, right[::-1] if flip_right else right)
    np.testing.assert_array_equal(found[0], left)
    np.testing.assert_array_equal(found[1], right)


def curved_lane(lanelet2, width_m: float = 3.5):
    """A lanelet of lanelet2's own around a bend, with bounds of different points."""
    core = lanelet2.core

    def line(radius_m: float, count: int):
        angles = np.linspace(0, 1.2, count)
        points = zip(radius_m * np.sin(angles), 40 - radius_m * np.cos(angles), strict=True)
        return core.LineString3d(core.getId(), [core.Point3d(core.getId(), float(x), float(y), 0.0) for x, y in points])

    lane = core.Lanelet(core.getId(), line(40 - width_m / 2, 23), line(40 + width_m / 2, 31))
    lane.attributes["subtype"] = "road"
    return lane


def test_a_map_that_lanelet2_wrote_is_read_with_its_own_centreline(tmp_path: Path) -> None:
    lanelet2 = pytest.importorskip("lanelet2")
    lane, lanelets = curved_lane(lanelet2), lanelet2.core.LaneletMap()
    lanelets.add(lane)
    projector = lanelet2.projection.UtmProjector(lanelet2.io.Origin(49.0, 8.4))
    lanelet2.io.write(str(tmp_path / "a.osm"), lanelets, projector)
    ours = read_lanelet2(tmp_path / "a.osm", Projector("utm", (49.0, 8.4, 0.0))).index.polylines
    theirs = np.array([(point.x, point.y) for point in lane.centerline])
    assert ours.ids.tolist() == [lane.id]
    np.testing.assert_allclose(ours.points[0, [0, -1]], theirs[[0, -1]], atol=1e-4)
    dense = np.stack([np.interp(np.linspace(0, 1, 2000), np.linspace(0, 1, len(theirs)), axis) for axis in theirs.T], 1)
    away = np.linalg.norm(ours.points[0][:, None] - dense, axis=2).min(axis=1)
    assert away.max() < 0.05
