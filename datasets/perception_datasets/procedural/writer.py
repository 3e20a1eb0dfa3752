"""Writes a generated scenario as Argoverse 2's files: scenario_<id>.parquet and log_map_archive_<id>.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from perception.geometry import SE2
from perception_datasets.argoverse.argoverse2 import HISTORY_STEPS
from perception_datasets.procedural.curves import offset
from perception_datasets.procedural.lane_graph import LANE_WIDTH_M, Crosswalk, LaneGraph, LaneSegment
from perception_datasets.procedural.recording import Recording
from perception_datasets.procedural.truth import STEPS

CITY = "synthetic"
_START_NS = 315_966_000_000_000_000.0
_POINT_EVERY = 3


def write_scenario(folder: Path, graph: LaneGraph, recording: Recording, city_SE2_made: SE2) -> None:
    """Writes both files into a new folder, whose name becomes the scenario's id."""
    folder.mkdir(parents=True)
    pq.write_table(_table(folder.name, recording, city_SE2_made), folder / f"scenario_{folder.name}.parquet")
    archive = json.dumps(_archive(graph, city_SE2_made))
    (folder / f"log_map_archive_{folder.name}.json").write_text(archive)


def _table(scenario: str, recording: Recording, city_SE2_made: SE2) -> pa.Table:
    """Returns the tracks, with columns, order and types as in the recorded files."""
    agent, step = np.nonzero(recording.valid)
    position = city_SE2_made.apply(recording.position)[agent, step]
    velocity = city_SE2_made.rotate(recording.velocity)[agent, step]
    heading = recording.heading[agent, step] + city_SE2_made.heading_rad
    rows = len(agent)

    def constant(value: str | float | int, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), rows)

    return pa.table(
        {
            "observed": pa.array(step < HISTORY_STEPS),
            "track_id": pa.array(recording.ids).take(pa.array(agent)),
            "object_type": pa.array(recording.kinds).take(pa.array(agent)),
            "object_category": pa.array(np.array(recording.category)[agent]),
            "timestep": pa.array(step),
            "position_x": pa.array(position[:, 0]),
            "position_y": pa.array(position[:, 1]),
            "heading": pa.array((heading + np.pi) % (2 * np.pi) - np.pi),
            "velocity_x": pa.array(velocity[:, 0]),
            "velocity_y": pa.array(velocity[:, 1]),
            "scenario_id": constant(scenario, pa.string()),
            "start_timestamp": constant(_START_NS, pa.float64()),
            "end_timestamp": constant(_START_NS + (STEPS - 1) * 1e8, pa.float64()),
            "num_timestamps": constant(STEPS, pa.int64()),
            "focal_track_id": constant(recording.ids[recording.focal], pa.string()),
            "city": constant(CITY, pa.string()),
        }
    )


def _archive(graph: LaneGraph, city_SE2_made: SE2) -> dict[str, Any]:
    """Returns the content of the map file."""
    areas = enumerate(graph.road_areas, start=5000)
    return {
        "drivable_areas": {
            str(i): {
                "area_boundary": _points(city_SE2_made.apply(area[::_POINT_EVERY] if len(area) > 20 else area)),
                "id": i,
            }
            for i, area in areas
        },
        "lane_segments": {str(s.id): _lane(s, city_SE2_made) for s in graph.segments.values()},
        "pedestrian_crossings": {str(c.id): _crossing(c, city_SE2_made) for c in graph.crosswalks},
    }


def _lane(segment: LaneSegment, city_SE2_made: SE2) -> dict[str, Any]:
    line = city_SE2_made.apply(segment.centerline)
    keep = np.unique([*range(0, len(line), _POINT_EVERY), len(line) - 1])
    return {
        "centerline": _points(line[keep]),
        "id": segment.id,
        "is_intersection": segment.is_intersection,
        "lane_type": "VEHICLE",
        "left_lane_boundary": _points(offset(line, LANE_WIDTH_M / 2)[keep]),
        "left_lane_mark_type": segment.left_mark,
        "left_neighbor_id": segment.left_neighbor,
        "predecessors": segment.predecessors,
        "right_lane_boundary": _points(offset(line, -LANE_WIDTH_M / 2)[keep]),
        "right_lane_mark_type": segment.right_mark,
        "right_neighbor_id": segment.right_neighbor,
        "successors": segment.successors,
    }


def _crossing(crosswalk: Crosswalk, city_SE2_made: SE2) -> dict[str, Any]:
    axis = city_SE2_made.apply(crosswalk.axis)
    edges = [_points(offset(axis, side * crosswalk.width_m / 2)) for side in (1, -1)]
    return {"edge1": edges[0], "edge2": edges[1], "id": crosswalk.id}


def _points(line: Float[np.ndarray, "points 2"]) -> list[dict[str, float]]:
    return [{"x": x, "y": y, "z": 0.0} for x, y in np.round(line, 2).tolist()]
