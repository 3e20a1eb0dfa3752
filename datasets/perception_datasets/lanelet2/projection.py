"""From latitude and longitude to a map's metres, as Autoware's map projection loader does it.

`map_projector_info.yaml` beside an Autoware map says which of them its vehicle uses, and from which origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from jaxtyping import Float

from perception.errors import InputError
from perception_datasets.errors import reading

Kind = Literal["mgrs", "utm", "local_cartesian", "transverse_mercator"]
PROJECTOR_FILE = "map_projector_info.yaml"
_KINDS: dict[str, Kind | None] = {
    "MGRS": "mgrs",
    "LocalCartesianUTM": "utm",
    "LocalCartesian": "local_cartesian",
    "TransverseMercator": "transverse_mercator",
    "Local": None,
    "local": None,
}
"""Autoware's `projector_type`; the map of a local one has local_x and local_y alone."""
_AXIS_M, _FLATTENING = 6378137.0, 1 / 298.257223563
"""The ellipsoid of WGS 84."""
_SCALE = 0.9996
_FALSE_EASTING_M, _FALSE_NORTHING_M = 500_000.0, 10_000_000.0
_MGRS_SQUARE_M = 100_000.0
_MAX_BYTES = 2**16


@dataclass(frozen=True)
class Projector:
    """A projection to a map's frame, x to the east and y to the north.

    Attributes:
        kind: `mgrs` gives the coordinates within a square of 100 km, `utm` those of UTM minus the origin's,
            `local_cartesian` the plane that touches the ellipsoid at the origin, `transverse_mercator` that projection
            with the origin's own meridian, minus the origin's northing.
        origin: Latitude and longitude in degrees, and height in metres. `mgrs` takes the zone of the first point.
    """

    kind: Kind
    origin: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.kind != "mgrs" and self.origin is None:
            raise InputError(f"projector {self.kind}: expected an origin, got none; give its latitude and longitude")
        if self.origin is not None and not (np.abs(self.origin) <= (90, 180, 1e4)).all():
            found = ", ".join(f"{number:g}" for number in self.origin)
            raise InputError(
                f"origin {found}: expected a latitude of -90° to 90°, a longitude of -180° to 180° and a height below "
                "10 km; is their order right?"
            )

    def project(self, degrees: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 2"]:
        """Returns x and y in metres.

        Args:
            degrees: Latitude and longitude in degrees, height in metres.
        """
        latitude, longitude = degrees[:, 0], degrees[:, 1]
        if self.kind == "mgrs":
            easting = transverse_mercator(latitude, longitude, _meridian(latitude[0], longitude[0]))
            return (easting + _false(latitude[0])) % _MGRS_SQUARE_M
        assert self.origin is not None
        origin = np.array([self.origin])
        if self.kind == "local_cartesian":
            return _in_tangent_plane(degrees, origin)
        meridian = _meridian(*self.origin[:2]) if self.kind == "utm" else self.origin[1]
        here = transverse_mercator(latitude, longitude, meridian)
        return here - transverse_mercator(origin[:, 0], origin[:, 1], meridian)


def read_projector(path: Path) -> Projector | None:
    """Returns the projection in a `map_projector_info.yaml`; None for a local one.

    Raises:
        RecordError: The file is damaged, or names a projection that is not known.
    """
    cure = "give --projector and --origin, or take the file of the vehicle"
    with reading(path, cure):
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: expected at most {_MAX_BYTES} bytes; {cure}")
        info = yaml.safe_load(path.read_text())
        name = str(info["projector_type"])
        if name not in _KINDS:
            raise InputError(f"{path}: expected projector_type {', '.join(_KINDS)}, found {name[:40]!r}; {cure}")
        kind, origin = _KINDS[name], info.get("map_origin")
        if kind is None:
            return None
        if kind == "mgrs" or origin is None:
            return Projector(kind)
        height = float(origin.get("altitude", 0.0))
        return Projector(kind, (float(origin["latitude"]), float(origin["longitude"]), height))


def transverse_mercator(
    latitude: Float[np.ndarray, " points"], longitude: Float[np.ndarray, " points"], meridian: float
) -> Float[np.ndarray, "points 2"]:
    """Returns x and y of UTM's projection around a meridian, without false easting and northing; degrees, metres.

    Krüger's series to the fourth order of the third flattening: below a millimetre within 3,000 km of the meridian
    (C. Karney, Transverse Mercator with an accuracy of a few nanometers, https://arxiv.org/abs/1002.1417).
    """
    n = _FLATTENING / (2 - _FLATTENING)
    rectifying_m = _AXIS_M / (1 + n) * (1 + n**2 / 4 + n**4 / 64)
    alpha = (
        n / 2 - 2 * n**2 / 3 + 5 * n**3 / 16 + 41 * n**4 / 180,
        13 * n**2 / 48 - 3 * n**3 / 5 + 557 * n**4 / 1440,
        61 * n**3 / 240 - 103 * n**4 / 140,
        49561 * n**4 / 161280,
    )
    phi, lam = np.radians(latitude), np.radians((longitude - meridian + 180) % 360 - 180)
    eccentricity = np.sqrt(_FLATTENING * (2 - _FLATTENING))
    tau = np.tan(phi)
    sigma = np.sinh(eccentricity * np.arctanh(eccentricity * tau / np.hypot(1, tau)))
    conformal = tau * np.hypot(1, sigma) - sigma * np.hypot(1, tau)
    xi = np.arctan2(conformal, np.cos(lam))
    eta = np.arcsinh(np.sin(lam) / np.hypot(conformal, np.cos(lam)))
    x, y = eta.copy(), xi.copy()
    for order, factor in enumerate(alpha, start=1):
        y += factor * np.sin(2 * order * xi) * np.cosh(2 * order * eta)
        x += factor * np.cos(2 * order * xi) * np.sinh(2 * order * eta)
    return _SCALE * rectifying_m * np.stack([x, y], axis=1)


def _meridian(latitude: float, longitude: float) -> float:
    """Returns the central meridian of the UTM zone of a place, in degrees; Norway and Svalbard have broader ones."""
    if 56 <= latitude < 64 and 3 <= longitude < 12:
        return 9.0
    if 72 <= latitude < 84 and 0 <= longitude < 42:
        return (3.0, 15.0, 27.0, 39.0)[int(np.searchsorted((9, 21, 33), longitude, side="right"))]
    return float(6 * np.floor((longitude + 180) / 6) % 360 - 177)


def _false(latitude: float) -> Float[np.ndarray, " 2"]:
    return np.array([_FALSE_EASTING_M, 0.0 if latitude >= 0 else _FALSE_NORTHING_M])


def _in_tangent_plane(
    degrees: Float[np.ndarray, "points 3"], origin: Float[np.ndarray, "1 3"]
) -> Float[np.ndarray, "points 2"]:
    """Returns east and north in the plane that touches the ellipsoid at the origin."""
    away = _earth_centred(degrees) - _earth_centred(origin)
    phi, lam = np.radians(origin[0, :2])
    east = np.array([-np.sin(lam), np.cos(lam), 0.0])
    north = np.array([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)])
    return away @ np.stack([east, north], axis=1)


def _earth_centred(degrees: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
    phi, lam, height = np.radians(degrees[:, 0]), np.radians(degrees[:, 1]), degrees[:, 2]
    squared = _FLATTENING * (2 - _FLATTENING)
    radius = _AXIS_M / np.sqrt(1 - squared * np.sin(phi) ** 2)
    across = (radius + height) * np.cos(phi)
    return np.stack(
        [across * np.cos(lam), across * np.sin(lam), (radius * (1 - squared) + height) * np.sin(phi)], axis=1
    )
