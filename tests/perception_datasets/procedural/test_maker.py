import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from perception.traffic.scenario import AgentKind, PolylineKind, Scenario
from perception_datasets.forecasting import open_forecasting
from perception_datasets.procedural.maker import make_scenario, make_split, scenario_id


@pytest.fixture(scope="module")
def scenarios(made_argoverse2: Path) -> list[Scenario]:
    return [scenario for split in ("train", "val") for scenario in open_forecasting(made_argoverse2, split)]


def test_the_same_number_gives_the_same_scenario_and_others_differ() -> None:
    graph, recording, frame = make_scenario(3, "train", 7)
    again_graph, again, again_frame = make_scenario(3, "train", 7)
    np.testing.assert_array_equal(recording.position, again.position)
    np.testing.assert_array_equal(recording.valid, again.valid)
    assert (recording.ids, frame, graph.rules) == (again.ids, again_frame, again_graph.rules)
    ids = [scenario_id(seed, split, number) for seed in (3, 4) for split in ("train", "val") for number in (7, 8)]
    assert len(set(ids)) == 8
    assert not np.array_equal(make_scenario(3, "val", 7)[1].position[0], recording.position[0])


def test_known_seeds_still_make_the_scenarios_that_they_made() -> None:
    golden = json.loads(Path(__file__).with_name("golden_scenarios.json").read_text())
    for expected in golden:
        graph, recording, frame = make_scenario(*expected["scenario"])
        assert [frame.x_m, frame.y_m, frame.heading_rad] == pytest.approx(expected["city_SE2_made"], abs=1e-3)
        assert (graph.rules, len(graph.segments)) == (expected["rules"], expected["segments"])
        assert recording.focal == expected["focal"]
        ids, kinds, categories, steps, positions = zip(*expected["agents"], strict=True)
        assert (tuple(recording.ids), tuple(recording.kinds)) == (ids, kinds)
        assert (tuple(recording.category), tuple(recording.valid.sum(axis=1))) == (categories, steps)
        np.testing.assert_allclose(recording.position[:, [0, 49, 109]], positions, rtol=0, atol=1e-3)


def test_made_files_have_the_columns_and_types_of_recorded_ones(made_argoverse2: Path, real_data: Path) -> None:
    recorded = next((real_data / "argoverse2" / "scenarios").glob("*/*.parquet"))
    expected = pq.read_schema(recorded).remove_metadata()
    for path in made_argoverse2.glob("*/*/*.parquet"):
        assert pq.read_schema(path).remove_metadata() == expected


def test_av2s_own_tools_read_made_scenarios(made_argoverse2: Path) -> None:
    serialization = pytest.importorskip("av2.datasets.motion_forecasting.scenario_serialization")
    maps = pytest.importorskip("av2.map.map_api")
    for folder in sorted((made_argoverse2 / "train").iterdir()):
        scenario = serialization.load_argoverse_scenario_parquet(folder / f"scenario_{folder.name}.parquet")
        assert scenario.city_name == "synthetic"
        focal = next(track for track in scenario.tracks if track.track_id == scenario.focal_track_id)
        assert len(focal.object_states) == len(scenario.timestamps_ns) == 110
        assert [state.observed for state in focal.object_states] == [True] * 50 + [False] * 60
        lanes = maps.ArgoverseStaticMap.from_json(folder / f"log_map_archive_{folder.name}.json").vector_lane_segments
        for lane in lanes.values():
            for successor in lane.successors:
                assert lane.id in lanes[successor].predecessors
                gap = lane.left_lane_boundary.xyz[-1] - lanes[successor].left_lane_boundary.xyz[0]
                assert np.linalg.norm(gap) < 0.3
            if lane.right_neighbor_id is not None:
                assert lanes[lane.right_neighbor_id].left_neighbor_id == lane.id


def test_every_scenario_has_a_complete_moving_focal_track(scenarios: list[Scenario]) -> None:
    for scenario in scenarios:
        agents = scenario.agents
        assert agents.valid[scenario.focal].all()
        assert scenario.focal != scenario.ego
        assert np.linalg.norm(np.diff(agents.position[scenario.focal], axis=0), axis=1).sum() > 4.0
        assert agents.scored.sum() >= 1
        assert agents.valid[agents.scored].all()


def drivers(scenario: Scenario) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields position, heading and velocity of each moving vehicle at the steps where it was seen."""
    agents = scenario.agents
    for agent in np.flatnonzero(agents.kinds == AgentKind.VEHICLE):
        seen = agents.valid[agent]
        if np.linalg.norm(agents.velocity[agent, seen], axis=1).max() > 2.0:
            yield agents.position[agent, seen], agents.heading[agent, seen], agents.velocity[agent, seen]


def test_vehicles_keep_to_lanes_and_face_where_they_go(scenarios: list[Scenario], made_argoverse2: Path) -> None:
    maps = pytest.importorskip("av2.map.map_api")
    off_lane, off_course = [], []
    for scenario in scenarios:
        folder = next(made_argoverse2.glob(f"*/{scenario.id}"))
        lanes = maps.ArgoverseStaticMap.from_json(
            folder / f"log_map_archive_{folder.name}.json"
        ).vector_lane_segments.values()
        points = np.concatenate([_dense(lane) for lane in lanes])
        for position, heading, velocity in drivers(scenario):
            off_lane.append(np.linalg.norm(position[::10, None] - points, axis=2).min(axis=1))
            speed = np.linalg.norm(velocity, axis=1)
            direction = np.arctan2(velocity[:, 1], velocity[:, 0])
            off_course.append(np.cos(direction - heading)[speed > 2.0])
    assert np.quantile(np.concatenate(off_lane), 0.99) < 1.0
    assert np.quantile(np.concatenate(off_course), 0.01) > 0.95


def _dense(lane: object) -> np.ndarray:
    left, right = lane.left_lane_boundary.xyz[:, :2], lane.right_lane_boundary.xyz[:, :2]  # pyright: ignore
    middle = (left + right) / 2
    share = np.linspace(0, 1, 8)[:, None, None]
    return (middle[:-1] * (1 - share) + middle[1:] * share).reshape(-1, 2)


def test_motion_has_no_jumps_and_no_implausible_speeds(scenarios: list[Scenario]) -> None:
    for scenario in scenarios:
        agents = scenario.agents
        both = agents.valid[:, 1:] & agents.valid[:, :-1]
        step = np.linalg.norm(np.diff(agents.position, axis=1), axis=2)[both]
        assert step.max() < 2.6  # 26 m/s
        speed = np.linalg.norm(agents.velocity, axis=2)
        assert speed[agents.kinds == AgentKind.PEDESTRIAN].max(initial=0.0) < 3.0
        assert speed.max() < 26.0


def test_cars_do_not_overlap(scenarios: list[Scenario]) -> None:
    for scenario in scenarios:
        agents = scenario.agents
        cars = np.flatnonzero(agents.kinds == AgentKind.VEHICLE)
        position, valid = agents.position[cars], agents.valid[cars]
        distance = np.linalg.norm(position[:, None] - position, axis=3)
        together = valid[:, None] & valid & ~np.eye(len(cars), dtype=bool)[..., None]
        assert distance[together].min() > 1.6


def test_there_are_turns_stops_crossings_gaps_and_short_tracks(made_argoverse2: Path) -> None:
    """In the ten scenarios together."""
    turned, stopped, crossings, gaps, short, people = 0, 0, 0, 0, 0, 0
    for split in ("train", "val"):
        for scenario in open_forecasting(made_argoverse2, split):
            agents = scenario.agents
            crossings += (scenario.map.kinds == PolylineKind.CROSSWALK).sum()
            people += (agents.kinds == AgentKind.PEDESTRIAN).sum()
            short += (agents.valid.sum(axis=1) < 50).sum()
            edges = np.abs(np.diff(agents.valid.astype(int), axis=1)).sum(axis=1)
            gaps += ((edges >= 2) & agents.valid[:, 0] & agents.valid[:, -1]).sum()
            for _, heading, velocity in drivers(scenario):
                turned += np.abs(np.unwrap(heading)[-1] - heading[0]) > 1.0
                stopped += np.linalg.norm(velocity, axis=1).min() < 0.4
    assert min(turned, stopped, crossings, gaps, short, people) > 2


def test_an_interrupted_run_is_continued_and_leaves_no_temporary_folders(tmp_path: Path) -> None:
    run = make_split(tmp_path, "train", count=3, seed=0, processes=1)
    first = next(run)
    written = first.stat().st_mtime_ns
    run.close()
    folders = list(make_split(tmp_path, "train", count=3, seed=0, processes=1))
    assert first.stat().st_mtime_ns == written
    assert sorted(p.name for p in (tmp_path / "train").iterdir()) == sorted(f.name for f in folders)
    assert open_forecasting(tmp_path, "train").source == "synthetic"
    assert [f.name for f in folders] == [scenario_id(0, "train", number) for number in range(3)]
