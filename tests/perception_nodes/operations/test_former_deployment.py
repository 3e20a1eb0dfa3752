from __future__ import annotations

import logging
from pathlib import Path

import pytest
import yaml

from perception_nodes.operations.former_deployment import add_kinds

FILE = Path("robot.yaml")


def amended(text: str) -> yaml.Node:
    root = yaml.compose(text, yaml.SafeLoader)
    add_kinds(FILE, root)
    return root


def value(root: yaml.Node) -> object:
    return yaml.SafeLoader("").construct_object(root, deep=True)


@pytest.mark.parametrize(
    "text",
    [
        "nodes: {ego: {checkpoint: a}, hal: {kind: scene-qa, checkpoint: b}}",
        "nodes: {ego: {checkpoint: a}}\nscene_qa: {hal: {checkpoint: b}}",
        "scene_qa: {hal: {checkpoint: b}}\nnodes: {ego: {checkpoint: a}}",
        "scene_qa: {hal: {checkpoint: b}}\nforecast: {ego: {checkpoint: a}}",
        "scene_qa: {hal: {kind: scene-qa, checkpoint: b}}\nforecast: {ego: {kind: forecast, checkpoint: a}}",
    ],
)
def test_all_ways_to_write_it_become_the_present_one(text: str) -> None:
    ego, hal = {"kind": "forecast", "checkpoint": "a"}, {"kind": "scene-qa", "checkpoint": "b"}
    assert value(amended(text)) == {"nodes": {"ego": ego, "hal": hal}}


def test_one_warning_says_what_to_write(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        amended("nodes: {ego: {checkpoint: a}}\nscene_qa: {hal: {checkpoint: b}}")
    (record,) = caplog.records
    assert record.getMessage() == (
        "robot.yaml: nodes say their kind now; under nodes: write ego: {kind: forecast, …}; hal: {kind: scene-qa, …}"
    )


def test_a_file_of_today_stays_as_it_is_and_costs_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    text = "router: {}\nnodes: {ego: {checkpoint: a, kind: forecast}}"
    with caplog.at_level(logging.WARNING):
        assert value(amended(text)) == yaml.safe_load(text)
    assert caplog.records == []


def test_a_name_that_is_in_two_sections_is_there_twice_for_the_reader() -> None:
    root = amended("nodes: {a: {checkpoint: x}}\nscene_qa: {a: {checkpoint: y}}")
    assert isinstance(root, yaml.MappingNode)
    (nodes,) = (node for key, node in root.value if key.value == "nodes")
    assert [key.value for key, _ in nodes.value] == ["a", "a"]


def test_lines_are_those_of_the_file() -> None:
    root = amended("router: {}\n\nscene_qa:\n  hal:\n    checkpoint: b\n")
    assert isinstance(root, yaml.MappingNode)
    (nodes,) = (node for key, node in root.value if key.value == "nodes")
    name, hal = nodes.value[0]
    assert name.start_mark.line == 3
    assert [key.start_mark.line for key, _ in hal.value] == [4, 4]


@pytest.mark.parametrize("text", ["a", "[1]", "nodes: 3", "nodes: [a]", "nodes: {a: 3}", "scene_qa: 3", "3: 4"])
def test_what_is_no_deployment_is_left_to_the_reader(text: str) -> None:
    assert value(amended(text)) == yaml.safe_load(text)
