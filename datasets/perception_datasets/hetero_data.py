"""Scenarios as `HeteroData` of torch-geometric, both ways: how graph-based forecasters exchange scenes.

Names and codes are those of QCNet (https://github.com/ZikangZhou/QCNet, `datasets/argoverse_v2_dataset.py`), which
HiVT's, SMART's and other successors share: nodes `agent`, `map_polygon` and `map_point`, edges from points to their
polygon. What it has no name for is added (`agent.scored`, `map_polygon.id`, `turn`, `has_traffic_control`, `source`,
`history_steps`), so that a scenario comes back as it was. Three things differ in what is written. Coordinates stay in
float64, since city frames are kilometres wide; take an origin off before `.float()`. `valid_mask` says what was
observed, as with QCNet's `vector_repr=False`. And there are centrelines alone, no boundaries and no edges between
polygons, since a scenario has none.

Needs the extra [graph]. Nothing here reads a file: QCNet's own are pickles, which can run code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import HeteroData

from perception.errors import InputError
from perception.traffic.scenario import AgentTracks, MapPolylines, Scenario
from perception_datasets.argoverse.polylines import POLYLINE_POINTS, resample

UNSCORED, SCORED, FOCAL = 1, 2, 3
"""Argoverse 2's categories of tracks; 0 is a fragment."""
IN_INTERSECTION, NOT_IN_INTERSECTION = 0, 1
"""QCNet's codes of `is_intersection`; 2 is unknown, which counts as outside."""
CENTER, CENTERLINE = 2, 16
"""QCNet's codes of a centreline's `side` and `type`."""
POINT_TO_POLYGON = "map_point", "to", "map_polygon"
ARGOVERSE2_HISTORY_STEPS = 50


def to_hetero_data(scenario: Scenario) -> HeteroData:
    """Returns a scenario as a graph of nodes; city frame, metres, radians, m/s."""
    agents, lanes = scenario.agents, scenario.map
    data = HeteroData()
    data["scenario_id"], data["city"], data["source"] = scenario.id, scenario.city, scenario.source
    data["history_steps"] = scenario.history_steps
    category = np.where(agents.scored, SCORED, UNSCORED)
    category[scenario.focal] = FOCAL
    is_predicted = agents.valid & agents.valid[:, scenario.present, None]
    is_predicted[:, : scenario.history_steps] = False
    data["agent"].num_nodes = len(agents)
    data["agent"].id = list(agents.ids)
    data["agent"].av_index = -1 if scenario.ego is None else scenario.ego
    for name, values in {
        "valid_mask": agents.valid,
        "predict_mask": is_predicted,
        "type": agents.kinds.astype(np.uint8),
        "category": category.astype(np.uint8),
        "scored": agents.scored,
        "position": agents.position,
        "heading": agents.heading,
        "velocity": agents.velocity,
    }.items():
        data["agent"][name] = torch.tensor(values)
    vectors = np.diff(lanes.points, axis=1)
    orientation = np.arctan2(vectors[..., 1], vectors[..., 0])
    data["map_polygon"].num_nodes = len(lanes)
    for name, values in {
        "position": lanes.points[:, 0],
        "orientation": orientation[:, 0],
        "type": lanes.kinds.astype(np.uint8),
        "is_intersection": np.where(lanes.is_intersection, IN_INTERSECTION, NOT_IN_INTERSECTION).astype(np.uint8),
        "id": lanes.ids,
        "turn": lanes.turns.astype(np.uint8),
        "has_traffic_control": lanes.has_traffic_control,
    }.items():
        data["map_polygon"][name] = torch.tensor(values)
    count = orientation.size
    data["map_point"].num_nodes = count
    data["map_point"].position = torch.tensor(lanes.points[:, :-1].reshape(-1, 2))
    data["map_point"].orientation = torch.tensor(orientation.ravel())
    data["map_point"].magnitude = torch.tensor(np.linalg.norm(vectors, axis=-1).ravel())
    data["map_point"].side = torch.full((count,), CENTER, dtype=torch.uint8)
    data["map_point"].type = torch.full((count,), CENTERLINE, dtype=torch.uint8)
    polygon = torch.arange(len(lanes)).repeat_interleave(vectors.shape[1])
    data[POINT_TO_POLYGON].edge_index = torch.stack([torch.arange(count), polygon])
    return data


def from_hetero_data(data: HeteroData) -> Scenario:
    """Returns the scenario of a graph that `to_hetero_data` or QCNet made; the inverse of the former.

    Without `history_steps` the history is Argoverse 2's. Centrelines with another number of points than
    `POLYLINE_POINTS` are resampled. The end of one is computed from its last vector, so it comes back to 1e-9 m.

    Raises:
        InputError: Something is missing, or is not as the above says.
    """
    agent, scored = data["agent"], _optional(data, "agent", "scored")
    category = _array(data, "agent", "category")
    focal = np.flatnonzero(category == FOCAL)
    if len(focal) != 1:
        raise InputError(f"HeteroData: expected one agent of category {FOCAL} (focal track), found {len(focal)}")
    ego = int(getattr(agent, "av_index", -1))
    tracks = AgentTracks(
        ids=tuple(str(name) for name in _named(data, "agent", "id")),
        kinds=_array(data, "agent", "type").astype(np.int64),
        position=_array(data, "agent", "position")[..., :2].astype(np.float64),
        heading=_array(data, "agent", "heading").astype(np.float64),
        velocity=_array(data, "agent", "velocity")[..., :2].astype(np.float64),
        valid=_array(data, "agent", "valid_mask"),
        scored=category >= SCORED if scored is None else scored,
    )
    scenario = Scenario(
        id=str(data["scenario_id"]),
        source=str(getattr(data, "source", "argoverse2")),
        city=str(data["city"]),
        agents=tracks,
        map=_map(data),
        history_steps=int(getattr(data, "history_steps", ARGOVERSE2_HISTORY_STEPS)),
        focal=int(focal[0]),
        ego=None if ego < 0 else ego,
    )
    scenario.require_plausible()
    return scenario


def _map(data: HeteroData) -> MapPolylines:
    count = len(kinds := _array(data, "map_polygon", "type"))
    ids, turns = _optional(data, "map_polygon", "id"), _optional(data, "map_polygon", "turn")
    control = _optional(data, "map_polygon", "has_traffic_control")
    return MapPolylines(
        ids=np.arange(count) if ids is None else ids,
        points=_centrelines(data, count),
        kinds=kinds.astype(np.int64),
        turns=np.zeros(count, np.int64) if turns is None else turns.astype(np.int64),
        is_intersection=_array(data, "map_polygon", "is_intersection") == IN_INTERSECTION,
        has_traffic_control=np.zeros(count, bool) if control is None else control,
    )


def _centrelines(data: HeteroData, polygons: int) -> Float[np.ndarray, "polygons points 2"]:
    """Starts of each polygon's centreline vectors, in order, and the end of the last."""
    point, polygon = _array(data, POINT_TO_POLYGON, "edge_index")
    center = _array(data, "map_point", "side")[point] == CENTER
    point, polygon = point[center], polygon[center]
    order = np.argsort(polygon, kind="stable")
    point, polygon = point[order], polygon[order]
    counts: Int[np.ndarray, " polygons"] = np.bincount(polygon, minlength=polygons)
    if (counts == 0).any():
        raise InputError(
            f"HeteroData: expected points of side {CENTER} (centreline) for every map_polygon, found none for polygon "
            f"{counts.argmin()}"
        )
    start = _array(data, "map_point", "position")[point][:, :2].astype(np.float64)
    orientation = _array(data, "map_point", "orientation")[point].astype(np.float64)
    length = _array(data, "map_point", "magnitude")[point].astype(np.float64)
    last = np.cumsum(counts) - 1
    end = start[last] + length[last, None] * np.stack([np.cos(orientation[last]), np.sin(orientation[last])], axis=-1)
    vertices, counts = np.insert(start, last + 1, end, axis=0), counts + 1
    points = resample(vertices, counts) if polygons else np.zeros((0, POLYLINE_POINTS, 2))
    kept = counts == POLYLINE_POINTS
    points[kept] = vertices[np.repeat(kept, counts)].reshape(-1, POLYLINE_POINTS, 2)
    return points


def _named(data: HeteroData, kind: str | tuple[str, str, str], name: str) -> Any:
    if name not in data[kind]:
        raise InputError(f"HeteroData: expected {kind}.{name}, as QCNet's data has it, found none")
    return data[kind][name]


def _array(data: HeteroData, kind: str | tuple[str, str, str], name: str) -> np.ndarray:
    value = _named(data, kind, name)
    if not isinstance(value, Tensor):
        raise InputError(f"HeteroData: expected a tensor as {kind}.{name}, found {type(value).__name__}")
    return value.numpy()


def _optional(data: HeteroData, kind: str, name: str) -> np.ndarray | None:
    return data[kind][name].numpy() if name in data[kind] else None
