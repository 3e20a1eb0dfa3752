"""Damaged copies of the maps that robots have."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from perception.errors import InputError
from perception.traffic.map_index import MapIndex
from perception_tools.forecasting.map_sources import read_source

Fuzz = Callable[..., None]

OSM = """<?xml version="1.0"?>
<osm version="0.6">
{nodes}
<way id="10"><nd ref="1"/><nd ref="2"/></way><way id="11"><nd ref="3"/><nd ref="4"/></way>
<way id="12"><nd ref="5"/><nd ref="6"/><tag k="type" v="traffic_sign"/><tag k="subtype" v="stop_sign"/></way>
<relation id="20"><member type="way" role="left" ref="10"/><member type="way" role="right" ref="11"/>
<member type="relation" role="regulatory_element" ref="22"/>
<tag k="type" v="lanelet"/><tag k="subtype" v="road"/><tag k="turn_direction" v="left"/></relation>
<relation id="21"><member type="way" role="left" ref="11"/><member type="way" role="right" ref="12"/>
<member type="way" role="centerline" ref="10"/><tag k="type" v="lanelet"/><tag k="subtype" v="crosswalk"/></relation>
<relation id="22"><member type="way" role="refers" ref="12"/>
<tag k="type" v="regulatory_element"/><tag k="subtype" v="traffic_sign"/></relation>
</osm>
"""


def _expect_sound(lanes: MapIndex) -> None:
    """What was read must be usable."""
    points = lanes.polylines.points
    assert len(points) > 0
    assert np.isfinite(points).all()


def _read_osm(folder: Path) -> None:
    """Reads a map with local coordinates, and one in degrees with the file beside it; one must not hide the other."""
    for name in ("local/lanelet2_map.osm", "degrees/lanelet2_map.osm"):
        with suppress(InputError):
            _expect_sound(read_source(folder / name).index)


def test_a_lanelet2_map_and_its_projection(fuzz: Fuzz, tmp_path: Path) -> None:
    places = [(0, 2), (30, 2), (0, -2), (30, -2), (31, 5), (31, 9)]
    for folder, local in (("local", True), ("degrees", False)):
        nodes = "".join(
            f'<node id="{number}" lat="{49 + y / 111_200}" lon="{8 + x / 73_000}">'
            + (f'<tag k="local_x" v="{x}"/><tag k="local_y" v="{y}"/>' if local else "")
            + "</node>\n"
            for number, (x, y) in enumerate(places, start=1)
        )
        (tmp_path / "maps" / folder).mkdir(parents=True)
        (tmp_path / "maps" / folder / "lanelet2_map.osm").write_text(OSM.format(nodes=nodes))
    projector = "projector_type: LocalCartesian\nmap_origin:\n  latitude: 49.0\n  longitude: 8.0\n  altitude: 0.0\n"
    (tmp_path / "maps" / "degrees" / "map_projector_info.yaml").write_text(projector)
    for folder in ("local", "degrees"):
        _expect_sound(read_source(tmp_path / "maps" / folder).index)
    fuzz(_read_osm, tmp_path / "maps")
