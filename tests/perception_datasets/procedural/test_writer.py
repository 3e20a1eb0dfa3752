import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from perception.geometry import SE2
from perception_datasets.procedural.lane_graph import Crosswalk, LaneGraph
from perception_datasets.procedural.recording import FOCAL, UNSCORED, Recording
from perception_datasets.procedural.truth import STEPS
from perception_datasets.procedural.writer import write_scenario


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A straight eastbound lane from the origin and two tracks, rotated by 90° and translated by (1000, 2000)."""
    graph = LaneGraph()
    lane = graph.add(np.stack([np.arange(11.0), np.zeros(11)], axis=1))
    graph.crosswalks.append(Crosswalk(9000, np.array([[5.0, -3.0], [5.0, 3.0]]), 2.0, (lane,)))
    graph.road_areas.append(np.array([[0.0, -2.0], [10.0, -2.0], [10.0, 2.0], [0.0, 2.0]]))
    position = np.zeros((2, STEPS, 2))
    position[..., 0] = np.arange(STEPS) * 0.1
    velocity = np.tile([1.0, 0.0], (2, STEPS, 1))
    valid = np.ones((2, STEPS), bool)
    valid[1, 10:90] = False
    recording = Recording(
        ids=["17", "AV"],
        kinds=["vehicle", "bus"],
        category=[FOCAL, UNSCORED],
        focal=0,
        position=position,
        heading=np.full((2, STEPS), 3.0),
        velocity=velocity,
        valid=valid,
    )
    write_scenario(tmp_path / "name", graph, recording, SE2(1000.0, 2000.0, np.pi / 2))
    return tmp_path / "name"


def test_tracks_are_written_where_they_were_seen_in_the_city_frame(written: Path) -> None:
    table = pq.read_table(written / "scenario_name.parquet")
    rows = table.to_pylist()
    assert [row["timestep"] for row in rows] == [*range(STEPS), *range(10), *range(90, STEPS)]
    assert rows[20] == {
        "observed": True,
        "track_id": "17",
        "object_type": "vehicle",
        "object_category": 3,
        "timestep": 20,
        "position_x": pytest.approx(1000.0),
        "position_y": pytest.approx(2002.0),
        "heading": pytest.approx(3.0 + np.pi / 2 - 2 * np.pi),
        "velocity_x": pytest.approx(0.0),
        "velocity_y": pytest.approx(1.0),
        "scenario_id": "name",
        "start_timestamp": 315_966_000_000_000_000.0,
        "end_timestamp": 315_966_010_900_000_000.0,
        "num_timestamps": 110,
        "focal_track_id": "17",
        "city": "synthetic",
    }
    assert {row["track_id"]: row["object_category"] for row in rows} == {"17": 3, "AV": 1}
    assert [row["observed"] for row in rows[:STEPS]] == [True] * 50 + [False] * 60


def test_the_map_is_written_with_boundaries_left_and_right_of_the_centerline(written: Path) -> None:
    archive = json.loads((written / "log_map_archive_name.json").read_text())
    (lane,) = archive["lane_segments"].values()
    assert lane["centerline"][0] == {"x": 1000.0, "y": 2000.0, "z": 0.0}
    assert lane["centerline"][-1] == {"x": 1000.0, "y": 2010.0, "z": 0.0}
    assert {point["x"] for point in lane["left_lane_boundary"]} == {998.25}
    assert {point["x"] for point in lane["right_lane_boundary"]} == {1001.75}
    (crossing,) = archive["pedestrian_crossings"].values()
    assert {point["y"] for point in crossing["edge1"]} == {2004.0}  # westwards, left of the axis at 2005
    assert {point["y"] for point in crossing["edge2"]} == {2006.0}
    (area,) = archive["drivable_areas"].values()
    assert len(area["area_boundary"]) == 4
