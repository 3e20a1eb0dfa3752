from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.errors import InputError
from perception_datasets.lanelet2.projection import Projector, read_projector, transverse_mercator

PLACES = [(49.0, 8.4), (35.68, 139.69), (-33.87, 151.21), (0.0, 0.0), (60.39, 5.32), (78.22, 15.65), (1.35, -179.9)]
"""Karlsruhe, Tokyo, Sydney, the origin, Bergen and Longyearbyen (broader zones), beside the date line."""


def around(place: tuple[float, float], count: int = 50) -> np.ndarray:
    """Latitude, longitude and height of points within some 10 km."""
    rng = np.random.default_rng(1)
    return np.concatenate(
        [np.array(place) + rng.uniform(-0.08, 0.08, (count, 2)), rng.uniform(-50, 800, (count, 1))], 1
    )


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["utm", "local_cartesian"])
def test_projections_are_those_of_lanelet2(kind, place: tuple[float, float]) -> None:
    lanelet2 = pytest.importorskip("lanelet2")
    names = {"utm": "UtmProjector", "local_cartesian": "LocalCartesianProjector"}
    theirs = getattr(lanelet2.projection, names[kind])(lanelet2.io.Origin(*place))
    points = around(place)
    expected = [theirs.forward(lanelet2.core.GPSPoint(*point)) for point in points.tolist()]
    found = Projector(kind, (*place, 0.0)).project(points)
    np.testing.assert_allclose(found, [[point.x, point.y] for point in expected], atol=1e-6)


def test_mgrs_is_utm_within_its_square_of_100_km() -> None:
    (x, y), _ = Projector("mgrs").project(np.array([[49.01357, 8.40444, 115.0], [49.0, 8.4, 0.0]]))
    easting, northing = transverse_mercator(np.array([49.01357]), np.array([8.40444]), 9.0)[0] + (500_000, 0)
    assert (x, y) == (pytest.approx(easting % 100_000), pytest.approx(northing % 100_000))
    assert 0 <= x < 100_000 > y >= 0


def test_on_the_meridian_northing_is_the_length_of_the_arc() -> None:
    """A quarter of a meridian of WGS 84 has 10 001 965.729 m."""
    (x, y) = transverse_mercator(np.array([90.0 - 1e-9]), np.array([9.0]), 9.0)[0]
    assert x == pytest.approx(0, abs=1e-6)
    assert y == pytest.approx(0.9996 * 10_001_965.729, abs=2e-3)


@given(st.floats(-80, 80), st.floats(-3, 3), st.floats(-180, 180))
def test_east_and_west_of_a_meridian_mirror_each_other(latitude: float, away: float, meridian: float) -> None:
    at = np.array([latitude, latitude, -latitude])
    east, west, south = transverse_mercator(at, meridian + np.array([away, -away, away]), meridian)
    np.testing.assert_allclose(east, west * (-1, 1), atol=1e-6)
    np.testing.assert_allclose(east, south * (1, -1), atol=1e-6)


@pytest.mark.parametrize("kind", ["utm", "local_cartesian", "transverse_mercator"])
def test_the_origin_is_the_origin_and_north_is_up(kind) -> None:
    points = np.array([[49.0, 8.4, 0.0], [49.001, 8.4, 0.0], [49.0, 8.401, 0.0]])
    origin, north, east = Projector(kind, (49.0, 8.4, 0.0)).project(points)
    np.testing.assert_allclose(origin, 0, atol=1e-6)
    assert abs(north[0]) < 2
    assert north[1] == pytest.approx(111.2, abs=0.3)
    assert east[0] == pytest.approx(73.2, abs=0.3)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("MGRS", "mgrs"),
        ("LocalCartesianUTM", "utm"),
        ("LocalCartesian", "local_cartesian"),
        ("TransverseMercator", "transverse_mercator"),
    ],
)
def test_the_file_of_autoware_is_understood(tmp_path: Path, name: str, kind: str) -> None:
    origin = "" if name == "MGRS" else "map_origin:\n  latitude: 35.5\n  longitude: 139.5\n  altitude: 12.0\n"
    (tmp_path / "a.yaml").write_text(f"projector_type: {name}\nvertical_datum: WGS84\nmgrs_grid: 54SUE\n{origin}")
    found = read_projector(tmp_path / "a.yaml")
    assert found is not None
    assert (found.kind, found.origin) == (kind, None if name == "MGRS" else (35.5, 139.5, 12.0))


def test_a_local_map_has_no_projection(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("projector_type: Local\n")
    assert read_projector(tmp_path / "a.yaml") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("projector_type: Mercator", "expected projector_type MGRS, .*found 'Mercator'"),
        ("vertical_datum: WGS84", "it lacks 'projector_type'"),
        ("[", "cannot be parsed"),
        ("projector_type: LocalCartesian", "projector local_cartesian: expected an origin, got none"),
        ("projector_type: LocalCartesian\nmap_origin: {latitude: 139.5, longitude: 35.5}", "is their order right"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=reason) as raised:
        read_projector(tmp_path / "a.yaml")
    assert "a.yaml" in str(raised.value)
