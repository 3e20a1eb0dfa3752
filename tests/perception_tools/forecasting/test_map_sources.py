from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.argoverse.argoverse1_map import MAP_FILES
from perception_nodes.recordings.map_file import write_map_file
from perception_nodes.recordings.recording import Recorder
from perception_nodes.ros.messages import header, make, serialize, topic_of
from perception_nodes.ros.wire import LATCHED
from perception_tools.forecasting.map_sources import LANELET_MAP_BIN, read_source

OSM = """<?xml version="1.0"?><osm version="0.6">
{nodes}<way id="10"><nd ref="1"/><nd ref="2"/></way><way id="11"><nd ref="3"/><nd ref="4"/></way>
<relation id="20"><member type="way" role="left" ref="10"/><member type="way" role="right" ref="11"/>
<tag k="type" v="lanelet"/><tag k="subtype" v="road"/></relation></osm>"""


@pytest.fixture
def osm(tmp_path: Path) -> Path:
    """A road of 30 m with places both as degrees and as metres."""
    places = [(0, 2), (30, 2), (0, -2), (30, -2)]
    nodes = "".join(
        f'<node id="{number}" lat="{49 + y / 111_200}" lon="{8 + x / 73_000}">'
        f'<tag k="local_x" v="{x}"/><tag k="local_y" v="{y}"/></node>\n'
        for number, (x, y) in enumerate(places, start=1)
    )
    path = tmp_path / "autoware" / "lanelet2_map.osm"
    path.parent.mkdir()
    path.write_text(OSM.format(nodes=nodes))
    return path


def test_an_autoware_map_is_found_in_its_folder_and_called_by_it(osm: Path) -> None:
    for path in (osm, osm.parent):
        found = read_source(path)
        assert (found.name, found.coordinates) == ("autoware", "local_x and local_y of the points")
        np.testing.assert_allclose(found.index.polylines.points[0, [0, -1]], [(0, 0), (30, 0)])


def test_a_projector_overrides_the_tags(osm: Path) -> None:
    found = read_source(osm, "local_cartesian", (49.0, 8.0))
    assert found.coordinates == "latitude and longitude by local_cartesian"
    np.testing.assert_allclose(found.index.polylines.points[0, -1], (30, 0), atol=0.1)


def test_argoverse_maps_are_read_by_their_names(argoverse1: Path, made_argoverse2: Path) -> None:
    found = read_source(argoverse1 / "map_files" / MAP_FILES["PIT"])
    assert (found.name, len(found.index.polylines)) == ("PIT", 4)
    folder = next(path for path in sorted((made_argoverse2 / "val").iterdir()) if path.is_dir())
    (file,) = folder.glob("log_map_archive_*.json")
    assert len(read_source(folder).index.polylines) == len(read_source(file).index.polylines) > 0


def test_the_city_of_a_sensor_log_is_the_name_of_its_map(made_argoverse2: Path, tmp_path: Path) -> None:
    file = next(made_argoverse2.glob("val/*/log_map_archive_*.json"))
    log = tmp_path / "log" / "map" / "log_map_archive_adcf7d18____PIT_city_31785.json"
    log.parent.mkdir(parents=True)
    shutil.copy(file, log)
    assert read_source(tmp_path / "log").name == "PIT"


@pytest.mark.parametrize("ending", ["mcap", "cdr"])
def test_a_converted_map_is_read_again(osm: Path, tmp_path: Path, ending: str) -> None:
    first = read_source(osm)
    write_map_file(tmp_path / f"a.{ending}", first.index, "ours", topic="/map")
    again = read_source(tmp_path / f"a.{ending}")
    assert again.name == "ours"
    np.testing.assert_array_equal(again.index.polylines.points, first.index.polylines.points)


def record_bin(path: Path, data: bytes) -> Path:
    """Records a LaneletMapBin."""
    message = make(
        LANELET_MAP_BIN,
        header=header(1, "map"),
        version_map_format="1.0",
        version_map="",
        name_map="odaiba",
        data=np.frombuffer(data, np.uint8),
    )
    with Recorder(path, lossless=True) as recorder:
        recorder.record(topic_of("/map/vector_map", LANELET_MAP_BIN, LATCHED), 1, serialize(message, LANELET_MAP_BIN))
    return path


def archived(osm: Path) -> bytes:
    """The map as lanelet2 archives it."""
    lanelet2 = pytest.importorskip("lanelet2")
    projector = lanelet2.projection.LocalCartesianProjector(lanelet2.io.Origin(49.0, 8.0))
    lanelets = lanelet2.io.load(str(osm), projector)
    lanelet2.io.write(str(osm.with_suffix(".bin")), lanelets, projector)
    return osm.with_suffix(".bin").read_bytes()


def test_the_archive_in_a_lanelet_map_bin_is_read_by_lanelet2_itself(osm: Path, tmp_path: Path) -> None:
    found = read_source(record_bin(tmp_path / "a.mcap", archived(osm)))
    assert found.name == "odaiba"
    np.testing.assert_allclose(found.index.polylines.points[0, -1], (30, 0), atol=0.1)


def test_an_archive_that_cannot_be_read_asks_for_the_osm(osm: Path, tmp_path: Path) -> None:
    archived(osm)
    with pytest.raises(InputError, match=r"a\.bin: expected an archive that lanelet2 can read.*give the \.osm file"):
        read_source(record_bin(tmp_path / "a.mcap", b"no archive"))


def test_without_the_extra_the_sentence_names_it_and_the_osm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'lanelet2'", name="lanelet2")

    monkeypatch.setattr("perception_datasets.lanelet2.binary.osm_of_binary", missing)
    with pytest.raises(InputError, match=r"pip install 'frozen-perception\[maps\]'; or give the \.osm file"):
        read_source(record_bin(tmp_path / "a.mcap", b""))


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("no.osm", {}, "no such file; give NAME.osm"),
        ("a.txt", {}, r"the name ends in '\.txt'; give NAME.osm"),
        ("other.xml", {}, "expected a map of Argoverse 1, pruned_argoverse_PIT.*; rename it"),
        ("empty", {}, "expected one map in the folder, found 0"),
        ("a.json", {"coordinates": "utm"}, "expected no --projector and no --origin"),
        ("autoware", {"origin": (49.0, 8.0)}, "--origin: expected a --projector that has one"),
        ("autoware", {"coordinates": "utm"}, "projector utm: expected an origin, got none"),
        ("chat.mcap", {}, "expected a topic of forecast_msgs/msg/PolylineMap or .*LaneletMapBin, found none"),
    ],
)
@pytest.mark.usefixtures("osm")
def test_what_is_no_map_or_does_not_fit_is_said(tmp_path: Path, name: str, options, reason: str) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "a.json").touch()
    (tmp_path / "other.xml").touch()
    (tmp_path / "empty").mkdir()
    with Recorder(tmp_path / "chat.mcap", lossless=True) as recorder:
        recorder.record(topic_of("/chat", "std_msgs/msg/String"), 1, b"\x00\x01\x00\x00\x02\x00\x00\x00a\x00")
    with pytest.raises(InputError, match=reason):
        read_source(tmp_path / name, **options)
