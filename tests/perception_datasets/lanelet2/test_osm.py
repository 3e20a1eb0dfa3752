from __future__ import annotations

from pathlib import Path

import pytest

from perception_datasets.errors import RecordError
from perception_datasets.lanelet2 import osm as osm_file
from perception_datasets.lanelet2.osm import read_osm

TEXT = """<?xml version="1.0"?>
<osm version="0.6">
  <node id="1" lat="0" lon="0"/><node id="2" lat="0" lon="1"><tag k="ele" v="3"/></node>
  <node id="3" lat="0" lon="2" action="delete"/>
  <way id="10"><nd ref="1"/><nd ref="2"/><tag k="type" v="line_thin"/></way>
  <way id="11"><nd ref="2"/><nd ref="1"/></way>
  <relation id="-20"><member type="way" role="left" ref="10"/><member type="way" role="right" ref="11"/>
    <member type="relation" role="regulatory_element" ref="21"/><tag k="type" v="lanelet"/></relation>
  <relation id="21"><tag k="type" v="regulatory_element"/><tag k="subtype" v="traffic_light"/></relation>
  <relation id="22"><tag k="type" v="multipolygon"/></relation>
</osm>
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "map.osm").write_text(TEXT)
    return tmp_path / "map.osm"


def test_points_lines_lanelets_and_rules_are_read(path: Path) -> None:
    found = read_osm(path)
    assert list(found.nodes) == ["1", "2"]
    assert found.nodes["2"].tags == {"ele": "3"}
    assert [node for _, _, node in found.ways["10"].members] == ["1", "2"]
    (lanelet,) = found.lanelets
    assert (lanelet.id, lanelet.left, lanelet.right, lanelet.centreline) == ("-20", ("10",), ("11",), ())
    assert lanelet.rules == ("21",)
    assert list(found.rules) == ["21"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("</osm>", "", "it is not well-formed XML"),
        ("<osm", "<!DOCTYPE osm []><osm", "expected no document type definition, found one"),
        ("osm", "map", "expected the root <osm>, found <map>"),
        ('id="1"', 'id="one"', "expected a whole number as the id of a node, found 'one'"),
        ('id="1"', 'id="1234567890123456789"', "expected a whole number as the id of a node"),
        ('id="2"', 'id="1"', "node 1: expected an id of its own, found it twice"),
        ('<node id="1"', "<node", "it lacks 'id'"),
        ('role="left"', 'role="l"', "lanelet -20: expected a way with the role left, found none"),
        (
            'type="way" role="right"',
            'type="node" role="right"',
            "lanelet -20: expected a way as its right, found the node 11",
        ),
        ('v="lanelet"', 'v="lane"', 'expected <relation> with <tag k="type" v="lanelet">, found none'),
    ],
)
def test_what_is_damaged_is_named(path: Path, old: str, new: str, reason: str) -> None:
    assert old in TEXT
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(RecordError, match=f"map.osm: {reason}"):
        read_osm(path)


def test_entities_are_never_expanded(path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    path.write_text(TEXT.replace("<osm", bomb + "<osm", 1).replace("line_thin", "&b;"))
    with pytest.raises(RecordError, match="document type definition"):
        read_osm(path)


@pytest.mark.parametrize(("limit", "value"), [("MAX_BYTES", 100), ("MAX_ELEMENTS", 4)])
def test_a_map_that_is_too_large_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(osm_file, limit, value)
    with pytest.raises(RecordError, match="expected at most"):
        read_osm(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no\.osm: no such file; export the map again"):
        read_osm(tmp_path / "no.osm")
