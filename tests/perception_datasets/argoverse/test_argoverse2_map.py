import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from perception.traffic.scenario import PolylineKind
from perception_datasets.argoverse.argoverse2_map import MAP_CURE, read_map
from perception_datasets.errors import RecordError


def assert_agrees_with_av2(path: Path, centerline_within_m: float) -> None:
    av2 = pytest.importorskip("av2.map.map_api")
    ours, theirs = read_map(path).polylines, av2.ArgoverseStaticMap.from_json(path)
    lanes = ours.kinds != PolylineKind.CROSSWALK
    assert ours.ids[lanes].tolist() == list(theirs.vector_lane_segments)
    assert ours.ids[~lanes].tolist() == list(theirs.vector_pedestrian_crossings)
    for row, segment in enumerate(theirs.vector_lane_segments.values()):
        assert ours.is_intersection[row] == segment.is_intersection
        assert PolylineKind(ours.kinds[row]).name == f"{segment.lane_type.value}_LANE"
        middle = theirs.get_lane_segment_centerline(segment.id)[:, :2]
        if len(middle) == 10:
            assert np.linalg.norm(ours.points[row] - middle, axis=1).max() < centerline_within_m
    for row, crossing in enumerate(theirs.vector_pedestrian_crossings.values(), start=int(lanes.sum())):
        edges = np.stack(crossing.get_edges_2d())
        np.testing.assert_allclose(ours.points[row, [0, -1]], edges[:, [0, -1]].mean(axis=0), atol=1e-9)


def test_made_maps_agree_with_av2s_map_api(made_argoverse2: Path) -> None:
    for path in sorted((made_argoverse2 / "val").glob("*/*.json")):
        assert_agrees_with_av2(path, centerline_within_m=0.6)


def test_recorded_maps_agree_with_av2s_map_api(real_data: Path) -> None:
    """Av2 uses the middle of the boundaries, which is up to some metres off the stored centerline in wide turns."""
    paths = sorted((real_data / "argoverse2" / "scenarios").glob("*/*.json"))
    assert paths
    for path in paths:
        assert_agrees_with_av2(path, centerline_within_m=2.5)


def test_a_sensor_logs_lane_is_the_middle_that_av2_computes(real_data: Path) -> None:
    """Within a centimetre, because av2 includes the height in the arc length."""
    paths = sorted((real_data / "argoverse2" / "sensor_logs").glob("*/map/log_map_archive_*.json"))
    assert paths
    for path in paths:
        assert_agrees_with_av2(path, centerline_within_m=0.01)


def test_the_stored_centerline_is_used_if_there_is_one(made_argoverse2: Path) -> None:
    path = next((made_argoverse2 / "val").glob("*/*.json"))
    archive = json.loads(path.read_text())
    for points, lane in zip(read_map(path).polylines.points, archive["lane_segments"].values(), strict=False):
        ends = [[lane["centerline"][i]["x"], lane["centerline"][i]["y"]] for i in (0, -1)]
        assert points[[0, -1]].tolist() == ends


def test_a_map_without_lanes_or_crossings_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "log_map_archive_x.json"
    path.write_text('{"lane_segments": {}, "pedestrian_crossings": {}, "drivable_areas": {}}')
    assert len(read_map(path).polylines) == 0


def first_lane(archive: dict) -> dict:
    return next(iter(archive["lane_segments"].values()))


@pytest.mark.parametrize("lane", [0, 1, -1])
def test_a_lane_without_a_centerline_is_the_middle_of_its_boundaries_wherever_it_stands(
    lane: int, made_argoverse2: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(next((made_argoverse2 / "val").glob("*/*.json")), tmp_path))
    before, archive = read_map(path).polylines, json.loads(path.read_text())
    del list(archive["lane_segments"].values())[lane]["centerline"]
    path.write_text(json.dumps(archive))
    after, number = read_map(path).polylines, range(len(archive["lane_segments"]))[lane]
    others = np.arange(len(before)) != number
    np.testing.assert_allclose(after.points[others], before.points[others], rtol=0, atol=1e-9)
    assert np.linalg.norm(after.points[number] - before.points[number], axis=-1).max() < 2.5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: a.pop("lane_segments"), "expected an object with the object lane_segments, found none"),
        (lambda a: a.update(pedestrian_crossings=[]), "expected an object with the object pedestrian_crossings"),
        (lambda a: a["lane_segments"].update(x=None), "lane x: expected an object with a whole number as its id"),
        (lambda a: first_lane(a).update(id="7"), r"lane \d+: expected an object with .* as its id, found '7'"),
        (lambda a: first_lane(a).update(id=2**70), "expected an object with a whole number as its id, found 118059"),
        (lambda a: first_lane(a).update(lane_type="RAIL"), r"lane_type \"VEHICLE\" or .*, found 'RAIL'"),
        (lambda a: first_lane(a).update(is_intersection="false"), "is_intersection true or false, found 'false'"),
        (lambda a: first_lane(a).update(centerline=[]), r"lane \d+: expected a list of points called centerline"),
        (lambda a: first_lane(a).update(centerline=None), "a list of points called centerline, found none"),
        (lambda a: first_lane(a).update(centerline=[[0, 1]]), "expected points with x and y in centerline"),
        (lambda a: first_lane(a)["centerline"][0].update(x=float("nan")), "coordinates .* in centerline, found nan"),
        (lambda a: first_lane(a)["centerline"][0].update(x=None), "coordinates .* in centerline, found none"),
        (lambda a: first_lane(a)["centerline"][0].update(x=[1.0]), r"coordinates .* in centerline, found \[1.0\]"),
        (lambda a: first_lane(a)["centerline"][0].update(y="1"), "coordinates .* in centerline, found '1'"),
        (lambda a: first_lane(a)["centerline"][0].update(y=-1e300), "coordinates .* in centerline, found -1e[+]300"),
        (lambda a: first_lane(a)["centerline"][0].update(y=10**30), "coordinates .* in centerline, found 1000"),
    ],
)
def test_a_broken_map_is_named_with_the_reason(change, reason: str, made_argoverse2: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(next((made_argoverse2 / "val").glob("*/*.json")), tmp_path))
    archive = json.loads(path.read_text())
    change(archive)
    path.write_text(json.dumps(archive))
    with pytest.raises(RecordError, match=reason) as raised:
        read_map(path)
    assert str(raised.value).startswith(str(path))
    assert str(raised.value).endswith(f"; {MAP_CURE}")
