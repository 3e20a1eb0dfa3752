"""Simulated scans of rooms: coloured points on surfaces, with noise, uneven density and holes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from perception.scenes.classes import NYU40
from perception_datasets.rooms.furniture import COLORS, Part
from perception_datasets.rooms.layout import Item, Room

POINTS = (30_000, 50_000)
"""Minimum and maximum number of points. Preprocessed scans of other code bases hold 50,000 at most."""
NOISE_M = 0.005
STRUCTURE_DENSITY = 0.35
"""Density of walls and floor relative to furniture, so that small items get enough points."""
PANE = (150, 190, 225)
WALL = (205, 198, 185)
FLOOR = (160, 130, 100)


@dataclass(frozen=True)
class Faces:
    """Rectangles in the room frame: `corner` + s·`u` + t·`v` with s and t from 0 to 1."""

    corner: Float64[np.ndarray, "faces 3"]
    u: Float64[np.ndarray, "faces 3"]
    v: Float64[np.ndarray, "faces 3"]
    rgb: Float64[np.ndarray, "faces 3"]
    density: Float64[np.ndarray, " faces"]
    semantic: Int64[np.ndarray, " faces"]
    instance: Int64[np.ndarray, " faces"]

    @property
    def weight(self) -> Float64[np.ndarray, " faces"]:
        """Expected number of points on each face, up to a common factor."""
        return self.density * np.linalg.norm(np.cross(self.u, self.v), axis=1)


@dataclass(frozen=True)
class SurfacePoints:
    """Points in the room frame. Instance 1 is the floor, 2 to 5 are the walls; the items follow in their order."""

    points: Float64[np.ndarray, "points 3"]
    colors: Float64[np.ndarray, "points 3"]
    semantic: Int64[np.ndarray, " points"]
    instance: Int64[np.ndarray, " points"]


FIRST_ITEM = 6


def scan_room(room: Room, rng: np.random.Generator) -> SurfacePoints:
    """Samples points on all surfaces in a room."""
    faces = _join([_structure(room), *(item_faces(item, FIRST_ITEM + i) for i, item in enumerate(room.items))])
    weight = faces.weight * rng.lognormal(0.0, 0.4, len(faces.density))
    count = rng.multinomial(int(rng.integers(POINTS[0], POINTS[1] + 1)), weight / weight.sum())
    face = np.repeat(np.arange(len(count)), count)
    s, t = rng.random((2, len(face), 1))
    points = faces.corner[face] + s * faces.u[face] + t * faces.v[face]
    seen = _seen(points, faces.instance[face], room, rng)
    points, face = points[seen], face[seen]
    noise = rng.normal(0.0, NOISE_M, points.shape).clip(-3 * NOISE_M, 3 * NOISE_M)
    exposure = rng.uniform(0.9, 1.1)
    colors = faces.rgb[face] * exposure + rng.normal(0.0, 6.0, points.shape)
    return SurfacePoints(points + noise, colors.clip(0, 255), faces.semantic[face], faces.instance[face])


def _seen(
    points: Float64[np.ndarray, "points 3"],
    instance: Int64[np.ndarray, " points"],
    room: Room,
    rng: np.random.Generator,
) -> Bool[np.ndarray, " points"]:
    """Returns which points the camera sees: fewer far from its path and in holes, but at least one per instance."""
    half = np.array(room.size) / 2
    path = rng.uniform(-0.7 * half[:2], 0.7 * half[:2], (3, 2))
    near = np.linalg.norm(points[:, None, :2] - path, axis=-1).min(axis=1)
    chance = np.exp(-near / 6.0)
    for _ in range(int(rng.integers(1, 4))):
        center = points[rng.integers(len(points))]
        chance[np.linalg.norm(points - center, axis=1) < rng.uniform(0.3, 0.6)] *= 0.3
    seen = rng.random(len(points)) < chance
    seen[np.unique(instance, return_index=True)[1]] = True
    return seen


def _structure(room: Room) -> Faces:
    """Returns the faces of the floor and the walls."""
    x, y, z = room.size
    low = np.array([-x / 2, -y / 2, 0.0])
    ex, ey, ez = np.diag([x, y, z])
    corner = np.stack([low, low, low, low + ey, low + ex])
    u = np.stack([ex, ex, ey, ex, ey])
    v = np.stack([ey, ez, ez, ez, ez])
    rgb = np.array([FLOOR, *[WALL] * 4]) * np.array([1.0, 0.96, 1.0, 0.92, 1.03])[:, None]
    classes = np.array([NYU40.index("floor"), *[NYU40.index("wall")] * 4])
    return Faces(corner, u, v, rgb, np.full(5, STRUCTURE_DENSITY), classes, np.arange(1, FIRST_ITEM))


def item_faces(item: Item, instance: int) -> Faces:
    """Returns the faces of an item's parts, without those that lie on the floor."""
    parts = item.kind.build(*item.size)
    rgb = [np.array(COLORS[item.color]) * part.brightness for part in parts]
    if not item.kind.colored:  # a window: the pane between its bars
        w, d, h = item.size
        parts.append(Part((-w / 2, 0.4 * d, 0.9), (w / 2, 0.6 * d, 0.9 + h)))
        rgb.append(np.array(PANE, dtype=np.float64))
    return _join([_box(item, part, color, instance) for part, color in zip(parts, rgb, strict=True)])


def _box(item: Item, part: Part, rgb: Float64[np.ndarray, " 3"], instance: int) -> Faces:
    """Returns five or six faces of a box; the top is bright and the sides are darker."""
    xy = np.sort(item.to_room(np.array([part.low[:2], part.high[:2]])), axis=0)
    low, high = np.array([*xy[0], part.low[2]]), np.array([*xy[1], part.high[2]])
    ex, ey, ez = np.diag(high - low)
    corner = np.stack([low + ez, low, low + ey, low, low + ex, low])
    u = np.stack([ex, ex, ex, ey, ey, ex])
    v = np.stack([ey, ez, ez, ez, ez, ey])
    shade = np.array([1.05, 0.92, 0.96, 0.88, 1.0, 0.75])
    density = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.3])
    keep = slice(0, 6 if part.low[2] > 0.02 else 5)
    many = len(corner[keep])
    classes, instances = np.full(many, item.kind.nyu40), np.full(many, instance)
    colors = (rgb * shade[:, None]).clip(0, 255)
    return Faces(corner[keep], u[keep], v[keep], colors[keep], density[keep], classes, instances)


def _join(faces: list[Faces]) -> Faces:
    return Faces(*(np.concatenate([getattr(f, name) for f in faces]) for name in Faces.__dataclass_fields__))
