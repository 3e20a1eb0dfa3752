"""nuScenes tracks: windows of a scene, its lanes, and broken folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perception.traffic.scenario import AgentKind
from perception_datasets.errors import Failures, RecordError
from perception_datasets.forecasting import open_forecasting
from perception_datasets.lengths import shorten

STEPS = 125


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One scene: the ego drives east, a car follows, a pedestrian comes late, a cone stands."""
    rows = []
    for track, kind, first, start, speed in (
        ("ego", "VEHICLE", 0, 0.0, 1.0),
        ("car", "VEHICLE", 0, -20.0, 1.0),
        ("walker", "PEDESTRIAN", 40, 30.0, 0.1),
        ("cone", "TRAFFIC_CONE", 0, 10.0, 0.0),
    ):
        for step in range(first, STEPS):
            place = {"x": start + speed * step, "y": 5.0, "heading": 0.0, "vx": 10 * speed, "vy": 0.0}
            rows.append({"scene": "scene-1", "track": track, "type": kind, "step": step, **place})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "tracks.parquet")
    lanes = [
        {"scene": "scene-1", "type": "LANE_SURFACE_STREET", "polyline_x": [-50.0, 200.0], "polyline_y": [5.0, 5.0]},
        {"scene": "scene-1", "type": "ROAD_LINE_SOLID_SINGLE_WHITE", "polyline_x": [0.0, 1.0], "polyline_y": [0.0, 1]},
        {"scene": "scene-2", "type": "LANE_SURFACE_STREET", "polyline_x": [0.0, 9.0], "polyline_y": [0.0, 9.0]},
        {"scene": "scene-1", "type": "LANE_SURFACE_STREET", "polyline_x": [1.0], "polyline_y": [1.0]},
    ]
    pq.write_table(pa.Table.from_pylist(lanes), tmp_path / "map.parquet")
    (tmp_path / "scenes.json").write_text(json.dumps([{"scene": "scene-1", "steps": STEPS}]))
    return tmp_path


def test_a_window_of_11_s_begins_every_second(folder: Path) -> None:
    scenes = open_forecasting(folder, "val")
    assert (scenes.source, list(scenes.ids)) == ("nuscenes", ["scene-1_000", "scene-1_010"])
    first, second = scenes
    assert first.shape == (50, 60)
    ego = first.agents.ids.index("ego")
    assert (first.focal, first.ego) == (ego, ego)
    np.testing.assert_allclose(second.agents.position[ego, :, 0], np.arange(10, 120))
    first.require_plausible()


def test_road_users_that_stay_are_scored_and_those_born_late_have_gaps(folder: Path) -> None:
    agents = open_forecasting(folder, "val")[0].agents
    by_id = {name: row for row, name in enumerate(agents.ids)}
    assert [agents.scored[by_id[name]] for name in ("ego", "car", "walker", "cone")] == [True, True, True, False]
    assert agents.valid[by_id["walker"]].tolist() == [False] * 40 + [True] * 70
    assert agents.kinds[by_id["cone"]] == AgentKind.CONSTRUCTION
    assert agents.kinds[by_id["walker"]] == AgentKind.PEDESTRIAN


def test_only_the_scenes_own_lanes_are_its_map(folder: Path) -> None:
    lanes = open_forecasting(folder, "val")[0].map
    assert len(lanes) == 1
    np.testing.assert_allclose(lanes.points[0, [0, -1]], [[-50, 5], [200, 5]])


def test_a_window_can_be_cut_to_argoverse_1s_lengths(folder: Path) -> None:
    scenario = open_forecasting(folder, "val")[0]
    short = shorten(scenario, 20, 30)
    np.testing.assert_array_equal(short.agents.heading, scenario.agents.heading[:, 30:80])


def test_a_scene_that_is_too_short_or_without_the_ego_is_named(folder: Path) -> None:
    table = pq.read_table(folder / "tracks.parquet")
    for kept in (np.array(table["step"]) < 100, np.array(table["track"]) != "ego"):
        pq.write_table(table.filter(kept), folder / "tracks.parquet")
        failures = Failures()
        assert list(open_forecasting(folder, "val").read_all(failures.add)) == []
        assert "expected 110 steps from 0 on with the ego" in failures.reasons["scene-1_000"]


@pytest.mark.parametrize("name", ["tracks.parquet", "map.parquet", "scenes.json"])
def test_a_damaged_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text("nonsense")
    with pytest.raises(RecordError, match=name):
        _ = open_forecasting(folder, "val")[0]


def test_real_scenes_are_read(real_data: Path) -> None:
    scenes = open_forecasting(real_data / "nuscenes_mini_tracks", "val")
    assert len(scenes) > 50
    scenario = scenes[0]
    scenario.require_plausible()
    assert len(scenario.map) > 20
    assert scenario.agents.scored.sum() > 3
