"""Single pieces of furniture as point clouds, for where no labelled clouds are at hand.

They are those of the synthetic rooms, turned by any angle about the vertical and seen from one side: points at surfaces
that roughly face away are rarer. The same seed and number always give the same cloud.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from perception.files import alone_in, whole_file
from perception_datasets.folders import mark_synthetic
from perception_datasets.rooms.furniture import KINDS
from perception_datasets.rooms.layout import Item
from perception_datasets.rooms.surface import NOISE_M, item_faces

SPLITS = ("train",) * 8 + ("val", "test")
"""Split of the n-th cloud of a class is `SPLITS[n % 10]`, so that a larger count moves no cloud to another split."""
POINTS = (1_000, 3_000)
"""Minimum and maximum number of points before those that are not seen are taken out."""
HIDDEN = 0.85
"""Part of the points that is missing where a surface faces away."""


def make_objects(out: Path, *, count: int, seed: int) -> Generator[str, None, None]:
    """Writes clouds 0 to `count` - 1 to `out/<split>/<class>/<number>.npy`, the classes by turns; yields their names.

    Existing clouds are kept, so the same call continues an interrupted run.

    Raises:
        InputError: The folder holds other clouds, another process writes to it, or it cannot be written to.
    """
    marker = {"made_by": "perception sample objects", "seed": seed, "note": "synthetic furniture, not scanned"}
    mark_synthetic(out, out / SPLITS[0], marker)
    with alone_in(out, "perception sample"):
        for number in range(count):
            turn, kind = divmod(number, len(KINDS))
            name = f"{SPLITS[turn % len(SPLITS)]}/{KINDS[kind].name}/{number:05d}.npy"
            if not (out / name).is_file():
                with whole_file(out / name) as temporary, temporary.open("wb") as file:
                    np.save(file, make_object(seed, number))
            yield name


def make_object(seed: int, number: int) -> Float32[np.ndarray, "points 3"]:
    """Returns one cloud in metres, z up, the floor or the back of what hangs on a wall at the origin."""
    rng = np.random.default_rng([seed, number])
    kind = KINDS[number % len(KINDS)]
    w, d, h = (float(rng.uniform(*extent)) for extent in (kind.width_m, kind.depth_m, kind.height_m))
    faces = item_faces(Item(kind, "brown", (w, d, h), (0.0, 0.0), 0), 1)
    weight = faces.weight * rng.lognormal(0.0, 0.4, len(faces.density))
    face = rng.choice(len(weight), int(rng.integers(*POINTS)), p=weight / weight.sum())
    s, t = rng.random((2, len(face), 1))
    points = faces.corner[face] + s * faces.u[face] + t * faces.v[face]
    normal = np.cross(faces.u, faces.v)[face]
    outward = np.sign(((points - points.mean(axis=0)) * normal).sum(axis=1, keepdims=True)) * normal
    towards = rng.normal(size=3)
    is_behind = outward @ towards < 0
    kept = ~is_behind | (rng.random(len(face)) > HIDDEN)
    points = points[kept] + rng.normal(0.0, NOISE_M, (kept.sum(), 3))
    yaw = rng.uniform(-np.pi, np.pi)
    cos, sin = np.cos(yaw), np.sin(yaw)
    return (points @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])).astype(np.float32)
