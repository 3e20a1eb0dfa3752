from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from perception_datasets.argoverse.argoverse2_map import read_map
from perception_nodes.recordings.map_file import read_map_file
from perception_nodes.recordings.reader import topics_in
from perception_tools.main import main


@pytest.fixture
def source(made_argoverse2: Path) -> Path:
    return next(made_argoverse2.glob("val/*/log_map_archive_*.json"))


def test_a_map_is_converted_drawn_and_told(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, picture = tmp_path / "map.mcap", tmp_path / "map.png"
    words = [
        "map",
        "convert",
        str(source),
        str(out),
        "--picture",
        str(picture),
        "--name",
        "town",
        "--topic",
        "/own/map",
    ]
    assert main([*words, "--json", str(tmp_path / "a.json")]) == 0
    lanes, name = read_map_file(out)
    assert name == "town"
    assert list(topics_in(out)) == ["/own/map"]
    np.testing.assert_array_equal(lanes.polylines.points, read_map(source).polylines.points)
    printed = capsys.readouterr().out
    told = json.loads((tmp_path / "a.json").read_text())
    assert f"{out}: {len(lanes.polylines)} polylines" in printed
    assert sum(told["kinds"].values()) == told["polylines"] == len(lanes.polylines)
    assert picture.resolve().as_uri() in printed
    assert imread(picture).std() > 0.01  # something is drawn


def test_a_map_is_never_written_over_its_source(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", "convert", str(source), str(source)]) == 2
    assert "it is the same" in capsys.readouterr().err


def test_a_mistake_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", "convert", str(tmp_path / "no.osm"), str(tmp_path / "a.mcap")]) == 2
    assert capsys.readouterr().err.startswith(f"perception map convert: {tmp_path / 'no.osm'}: no such file; give ")


def test_every_real_map_at_hand_is_converted(real_data: Path, tmp_path: Path) -> None:
    sources = sorted(real_data.glob("argoverse2/**/log_map_archive_*.json"))
    assert sources
    for number, source in enumerate(sources):
        assert main(["map", "convert", str(source), str(tmp_path / f"{number}.mcap")]) == 0
        found = read_map_file(tmp_path / f"{number}.mcap")[0].polylines
        np.testing.assert_array_equal(found.points, read_map(source).polylines.points)
