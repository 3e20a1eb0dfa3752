"""Meshes as clouds: points drawn from their surface, as many from each part as its area is large."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from perception_datasets.errors import bad_file, reading

SUFFIXES = (".off", ".obj")
DRAWN_POINTS = 10_000
"""As many as ModelNet40's resampled clouds have."""
MAX_FACES = 5_000_000
CURE = "export the mesh again, or leave it out"
_COUNTS = re.compile(rb"\s*C?OFF\s*(?:#[^\n]*\s*)*(\d+)\s+(\d+)")


def draw_points(name: Path, data: bytes, rng: np.random.Generator) -> Float32[np.ndarray, "points 3"]:
    """Draws `DRAWN_POINTS` points from the surface of a mesh.

    Materials that a file names are not read. ModelNet's files whose first line is `OFF490 518 0` are read too.

    Args:
        name: Path to name in a message; its suffix is the format.
        data: Content.
        rng: What points are drawn from.

    Raises:
        RecordError: The file is damaged, truncated, or has no surface.
    """
    import trimesh
    from trimesh.exchange.obj import load_obj
    from trimesh.exchange.off import load_off
    from trimesh.sample import sample_surface

    with reading(name, CURE):
        if name.suffix.lower() == ".off":
            _check_counts(name, data)
            loaded = load_off(io.BytesIO(data))
        else:
            loaded = load_obj(io.BytesIO(data), skip_materials=True)
        mesh = trimesh.Trimesh(**_surface(name, loaded), process=False)
        areas = mesh.area_faces
        if not np.isfinite(areas).all() or not areas.sum() > 0:
            raise bad_file(name, f"expected a surface of finite area, found {len(areas)} faces without one", CURE)
        return np.asarray(sample_surface(mesh, DRAWN_POINTS, face_weight=areas, seed=rng)[0], np.float32)


def _check_counts(name: Path, data: bytes) -> None:
    """Refuses a header that announces more than the file can hold, or fewer lines than it announces."""
    found = _COUNTS.match(data[:4096])
    if found is None:
        raise bad_file(name, "expected OFF and the numbers of vertices and faces, found another beginning", CURE)
    vertices, faces = int(found[1]), int(found[2])
    lines = data.count(b"\n") + 1
    if vertices + faces > lines or faces > MAX_FACES:
        raise bad_file(name, f"expected {vertices:,} vertices and {faces:,} faces, found {lines:,} lines", CURE)


def _surface(name: Path, loaded: dict) -> dict:
    """Returns the vertices and faces of what trimesh loaded; several objects in a file are one."""
    if "geometry" in loaded:
        parts = [part for part in loaded["geometry"].values() if "faces" in part]
        starts = np.cumsum([0, *(len(part["vertices"]) for part in parts)])
        if not parts:
            raise bad_file(name, "expected faces, found none", CURE)
        vertices = np.concatenate([part["vertices"] for part in parts])
        faces = np.concatenate([part["faces"] + start for part, start in zip(parts, starts, strict=False)])
    else:
        vertices, faces = np.asarray(loaded["vertices"]), np.asarray(loaded.get("faces", []))
    if faces.ndim != 2 or faces.shape[1:] != (3,) or not len(faces):
        raise bad_file(name, "expected faces, found none", CURE)
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise bad_file(name, f"expected faces between its {len(vertices)} vertices, found others", CURE)
    return {"vertices": vertices[:, :3], "faces": faces}
