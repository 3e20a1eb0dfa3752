from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from perception.errors import InputError
from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import Scenario
from perception_nodes.recordings.map_file import last_of_type, read_map_file, write_map_file
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.map_message import map_message
from perception_nodes.ros.messages import POLYLINE_MAP, serialize, topic_of

TOPIC = "/map/polylines"


@pytest.fixture
def lanes(make_scenario: Callable[..., Scenario]) -> MapIndex:
    return MapIndex(make_scenario().map)


@pytest.mark.parametrize("name", ["a.mcap", "a.cdr"])
def test_a_map_reads_back_as_it_was_written(lanes: MapIndex, tmp_path: Path, name: str) -> None:
    write_map_file(tmp_path / name, lanes, "PIT", topic=TOPIC)
    found, city = read_map_file(tmp_path / name)
    assert city == "PIT"
    for field, values in vars(lanes.polylines).items():
        np.testing.assert_array_equal(getattr(found.polylines, field), values)


def test_the_recording_latches_the_map_wherever_it_is_played(lanes: MapIndex, tmp_path: Path) -> None:
    write_map_file(tmp_path / "a.mcap", lanes, "PIT", topic="/own/map")
    with (tmp_path / "a.mcap").open("rb") as file:
        ((schema, channel, message),) = make_reader(file).iter_messages()
    assert schema is not None
    assert (schema.name, channel.topic, message.log_time) == (POLYLINE_MAP, "/own/map", 0)
    (profile,) = json.loads(channel.metadata["offered_qos_profiles"])
    assert (profile["durability"], profile["reliability"], profile["depth"]) == (1, 1, 1)


@pytest.mark.parametrize("name", ["a.osm", "a"])
def test_a_name_with_another_ending_is_refused(lanes: MapIndex, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"expected a name that ends in \.mcap or \.cdr"):
        write_map_file(tmp_path / name, lanes, "PIT", topic=TOPIC)
    assert list(tmp_path.iterdir()) == []


def test_a_map_that_a_node_would_refuse_is_not_written(lanes: MapIndex, tmp_path: Path) -> None:
    far = MapIndex(replace(lanes.polylines, points=lanes.polylines.points + 1e9))
    with pytest.raises(InputError, match="expected finite coordinates"):
        write_map_file(tmp_path / "a.mcap", far, "PIT", topic=TOPIC)
    assert list(tmp_path.iterdir()) == []


def test_a_map_on_two_topics_or_on_none_is_not_guessed(lanes: MapIndex, tmp_path: Path) -> None:
    cdr = serialize(map_message(lanes, "PIT"), POLYLINE_MAP)
    with Recorder(tmp_path / "a.mcap", lossless=True) as recorder:
        for topic in ("/a", "/b"):
            recorder.record(topic_of(topic, POLYLINE_MAP), 1, cdr)
    with pytest.raises(InputError, match=r"expected one topic with messages of .*PolylineMap, found /a, /b"):
        read_map_file(tmp_path / "a.mcap")
    with pytest.raises(InputError, match="found none; write it with"):
        last_of_type(tmp_path / "a.mcap", "std_msgs/msg/String")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00\x01\x00\x00" + b"\xff" * 100])
def test_a_damaged_message_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.cdr").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.cdr: .*perception map convert"):
        read_map_file(tmp_path / "a.cdr")


def test_the_last_of_several_maps_counts(lanes: MapIndex, tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.mcap", lossless=True) as recorder:
        for stamp, name in enumerate(("old", "new")):
            recorder.record(topic_of(TOPIC, POLYLINE_MAP), stamp, serialize(map_message(lanes, name), POLYLINE_MAP))
    assert read_map_file(tmp_path / "a.mcap")[1] == "new"
