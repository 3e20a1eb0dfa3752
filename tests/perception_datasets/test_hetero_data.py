"""Scenarios as HeteroData and back."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch_geometric", reason="torch-geometric is not installed; it comes with the extra [graph]")

import torch
from torch_geometric.data import Batch

from perception.errors import InputError
from perception.traffic.scenario import Scenario, UnusableScenario
from perception_datasets.argoverse.argoverse2 import find_argoverse2
from perception_datasets.hetero_data import POINT_TO_POLYGON, from_hetero_data, to_hetero_data


def anything(make_scenario, seed: int, agents: int, steps: int, lanes: int) -> Scenario:
    """Whatever a scenario may hold."""
    rng = np.random.default_rng(seed)
    position = rng.normal(0, 1e3, (agents, steps, 2))
    made: Scenario = make_scenario(position=position, history_steps=int(rng.integers(1, steps + 1)))
    return replace(
        made,
        focal=int(rng.integers(agents)),
        ego=None if rng.random() < 0.3 else int(rng.integers(agents)),
        agents=replace(
            made.agents,
            kinds=rng.integers(0, 10, agents),
            valid=rng.random((agents, steps)) < 0.7,
            scored=rng.random(agents) < 0.5,
        ),
        map=replace(
            made.map,
            ids=rng.integers(-(2**60), 2**60, lanes),
            points=rng.normal(0, 1e3, (lanes, 10, 2)),
            kinds=rng.integers(0, 4, lanes),
            turns=rng.integers(0, 3, lanes),
            is_intersection=rng.random(lanes) < 0.5,
            has_traffic_control=rng.random(lanes) < 0.5,
        ),
    )


def assert_same(one: Scenario, other: Scenario) -> None:
    """Exactly, but for the ends of centrelines."""
    for name in ("id", "source", "city", "history_steps", "focal", "ego"):
        assert getattr(one, name) == getattr(other, name), name
    for mine, others in ((one.agents, other.agents), (one.map, other.map)):
        for field in fields(mine):
            ours, theirs = getattr(mine, field.name), getattr(others, field.name)
            if field.name == "points":
                np.testing.assert_array_equal(ours[:, :-1], theirs[:, :-1])
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
            elif field.name == "ids" and isinstance(ours, tuple):
                assert ours == theirs
            else:
                np.testing.assert_array_equal(ours, theirs, err_msg=field.name)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), agents=st.integers(1, 4), steps=st.integers(2, 8), lanes=st.integers(0, 5))
def test_a_scenario_comes_back_as_it_was(make_scenario, seed: int, agents: int, steps: int, lanes: int) -> None:
    scenario = anything(make_scenario, seed, agents, steps, lanes)
    assert_same(from_hetero_data(to_hetero_data(scenario)), scenario)


def test_a_recorded_scenario_comes_back_as_it_was(real_data: Path) -> None:
    files = find_argoverse2(real_data / "argoverse2" / "scenarios")
    assert files is not None
    scenario = files.read(files.names()[0])
    assert_same(from_hetero_data(to_hetero_data(scenario)), scenario)


def test_names_and_codes_are_qcnets(make_scenario) -> None:
    data = to_hetero_data(make_scenario(agents=3))
    assert data["agent"].category.tolist() == [3, 2, 2]
    assert data["agent"].position.shape == (3, 15, 2)
    assert data["agent"].predict_mask.sum(1).tolist() == [10, 10, 10]
    assert data["map_polygon"].num_nodes == 3
    assert data["map_point"].num_nodes == 27
    assert data[POINT_TO_POLYGON].edge_index[1].bincount().tolist() == [9, 9, 9]
    assert set(data["map_point"].side.tolist()) == {2}


def test_graphs_are_batched_by_torch_geometric(make_scenario) -> None:
    batch = Batch.from_data_list([to_hetero_data(make_scenario(agents=2)), to_hetero_data(make_scenario(agents=3))])
    assert batch["agent"].batch.tolist() == [0, 0, 1, 1, 1]
    assert int(batch[POINT_TO_POLYGON].edge_index[1].max()) == 5


def test_qcnets_own_graphs_are_read(make_scenario) -> None:
    """Without what we add, with boundaries, in three dimensions, and with another number of points in a lane."""
    scenario = replace(make_scenario(agents=2, steps=60, history_steps=50), source="argoverse2", ego=1)
    data = to_hetero_data(scenario)
    for kind, names in {"agent": ["scored"], "map_polygon": ["id", "turn", "has_traffic_control"]}.items():
        for name in names:
            del data[kind][name]
    del data["source"], data["history_steps"]
    data["agent"].position = torch.nn.functional.pad(data["agent"].position, (0, 1)).float()
    points, polygons = data["map_point"], data[POINT_TO_POLYGON].edge_index
    kept = torch.arange(27) != 26  # the last vector of the last lane
    left = {name: points[name].clone() for name in ("position", "orientation", "magnitude", "side", "type")}
    left["side"][:] = 0
    left["position"] += 2.0
    for name in left:
        points[name] = torch.cat([left[name], points[name][kept]])
    points.num_nodes = 53
    data[POINT_TO_POLYGON].edge_index = torch.cat(
        [torch.stack([torch.arange(53)[:27], polygons[1]]), torch.stack([torch.arange(27, 53), polygons[1, :26]])], 1
    )
    read = from_hetero_data(data)
    assert (read.source, read.history_steps, read.ego) == ("argoverse2", 50, 1)
    assert read.agents.scored.tolist() == [True, True]
    np.testing.assert_allclose(read.agents.position, scenario.agents.position, atol=1e-4)
    np.testing.assert_allclose(read.map.points[:2], scenario.map.points[:2], atol=1e-9)
    assert read.map.points.shape == (3, 10, 2)
    np.testing.assert_allclose(read.map.points[2, -1], scenario.map.points[2, -2], atol=1e-9)


def test_what_is_missing_or_impossible_is_named(make_scenario) -> None:
    data = to_hetero_data(make_scenario())
    data["agent"].category[:] = 1
    with pytest.raises(InputError, match=r"expected one agent of category 3 \(focal track\), found 0"):
        from_hetero_data(data)
    data = to_hetero_data(make_scenario())
    del data["agent"]["valid_mask"]
    with pytest.raises(InputError, match=r"expected agent\.valid_mask, as QCNet's data has it, found none"):
        from_hetero_data(data)
    data = to_hetero_data(make_scenario())
    data["map_point"].side[9:18] = 0
    with pytest.raises(InputError, match=r"side 2 \(centreline\) for every map_polygon, found none for polygon 1"):
        from_hetero_data(data)
    data = to_hetero_data(make_scenario())
    data["agent"].heading[0, 0] = float("nan")
    with pytest.raises(UnusableScenario, match="expected heading below"):
        from_hetero_data(data)
