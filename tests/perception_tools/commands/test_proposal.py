from __future__ import annotations

import pytest

from perception_nodes.kinds import KINDS
from perception_tools.commands.proposal import propose

OBJECTS = "autoware_perception_msgs/msg/TrackedObjects"
DETECTIONS = "vision_msgs/msg/Detection3DArray"
ODOMETRY = "nav_msgs/msg/Odometry"
CLOUD = "sensor_msgs/msg/PointCloud2"


def test_topics_are_chosen_by_their_types_whatever_they_are_called() -> None:
    topics = {"/tracker/out": OBJECTS, "/odom": ODOMETRY, "/town": "forecast_msgs/msg/PolylineMap", "/chat": "x/msg/Y"}
    node = propose("ego", "forecast", "runs/a", 0, topics)
    assert node.values == {"checkpoint": "runs/a", "objects": "/tracker/out", "ego": "/odom", "map": "/town"}
    assert node.notes == {}


def test_of_several_the_default_or_the_first_is_taken_and_the_others_are_named() -> None:
    topics = {"/b": ODOMETRY, "/a": ODOMETRY, "/c": ODOMETRY}
    node = propose("ego", "forecast", "runs/a", 0, topics)
    assert node.values["ego"] == "/a"
    assert node.notes["ego"] == "The robot also has /b, /c of this type: is it the right one?"
    node = propose("ego", "forecast", "runs/a", 0, topics | {"/localization/kinematic_state": ODOMETRY})
    assert "ego" not in node.values
    assert "/a, /b, /c" in node.notes["ego"]


def test_detections_are_read_where_there_are_no_tracked_objects() -> None:
    node = propose("ego", "forecast", "runs/a", 0, {"/boxes": DETECTIONS})
    assert (node.values["objects"], node.values["objects_type"]) == ("/boxes", DETECTIONS)
    node = propose("ego", "forecast", "runs/a", 0, {"/boxes": DETECTIONS, "/tracks": OBJECTS})
    assert node.values["objects"] == "/tracks"
    assert "objects_type" not in node.values


@pytest.mark.parametrize("kind", KINDS)
def test_a_robot_without_topics_gets_the_defaults_and_a_note_for_each_input(kind: str) -> None:
    node = propose("n", kind, "runs/a", 7, {})
    assert node.values == {"checkpoint": "runs/a", "domain": "7"}
    assert node.notes
    assert all("The robot has no topic of" in note for note in node.notes.values())


def test_an_output_that_somebody_publishes_already_is_remarked() -> None:
    taken = {"/perception/object_recognition/objects": "autoware_perception_msgs/msg/PredictedObjects"}
    assert "publishes this topic already" in propose("ego", "forecast", "runs/a", 0, taken).notes["forecasts"]


@pytest.mark.parametrize("path", ["runs/a b", "runs/#1", "42", "- x", "a: b", "ü", "null"])
def test_any_path_stands_in_the_file_as_it_is(path: str) -> None:
    import yaml

    assert yaml.safe_load(f"key: {propose('n', 'forecast', path, 0, {}).values['checkpoint']}") == {"key": path}
