from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception_datasets.clouds.meshes import DRAWN_POINTS, draw_points
from perception_datasets.errors import RecordError

VERTICES = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (10, 0, 0), (13, 0, 0), (13, 1, 0)]
FACES = [(0, 1, 2), (0, 2, 3), (4, 5, 6)]  # areas 1/2, 1/2, 3/2


def off(header: str = "OFF\n7 3 0") -> bytes:
    lines = [header, *(" ".join(map(str, v)) for v in VERTICES), *(f"3 {a} {b} {c}" for a, b, c in FACES)]
    return "\n".join(lines).encode() + b"\n"


def obj() -> bytes:
    lines = ["# made", "mtllib secret.mtl", "o part"]
    lines += [f"v {x} {y} {z}" for x, y, z in VERTICES] + [f"f {a + 1}//1 {b + 1} {c + 1}" for a, b, c in FACES]
    return "\n".join(lines).replace("//1", "").encode()


@pytest.mark.parametrize(("name", "data"), [("a.off", off()), ("a.off", off("OFF7 3 0")), ("a.OBJ", obj())])
def test_points_lie_on_the_surface_as_many_as_its_area_asks_for(name: str, data: bytes) -> None:
    points = draw_points(Path(name), data, np.random.default_rng(0))
    assert points.shape == (DRAWN_POINTS, 3)
    assert points.dtype == np.float32
    assert (points[:, 2] == 0).all()
    right = points[:, 0] > 5
    assert abs(right.mean() - 0.6) < 0.02  # 1.5 of 2.5; four standard deviations
    below = points[right]
    assert (below[:, 1] <= (below[:, 0] - 10) / 3 + 1e-5).all()


def test_points_are_a_function_of_the_generator() -> None:
    draws = [draw_points(Path("a.off"), off(), np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.off", b"OFF\n7 3 0\n0 0 0\n", "expected 7 vertices and 3 faces, found 4 lines"),
        ("a.off", b"OFF\n999999999999 3 0\n0 0 0\n", "found 4 lines"),
        ("a.off", off().replace(b"3 4 5 6", b"3 4 5 9"), "cannot be parsed"),
        ("a.off", b"PLY\n", "expected OFF and the numbers"),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n1 1 1\n2 2 2\n3 0 1 2\n", "surface of finite area"),
        ("a.obj", b"v 0 0 0\nv 1 1 1\n", "a.obj"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "a.obj"),
        ("a.obj", b"", "a.obj"),
    ],
)
def test_a_bad_mesh_is_named(name: str, data: bytes, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        draw_points(Path(name), data, np.random.default_rng(0))


@given(st.sampled_from(["a.off", "a.obj"]), st.integers(0, 150), st.binary(min_size=1, max_size=3))
def test_damaged_meshes_raise_nothing_else(name: str, place: int, junk: bytes) -> None:
    data = bytearray(off() if name == "a.off" else obj())
    data[place : place + len(junk)] = junk
    try:
        assert draw_points(Path(name), bytes(data), np.random.default_rng(0)).shape == (DRAWN_POINTS, 3)
    except RecordError as error:
        if name not in str(error):
            raise


def test_modelnets_own_files_are_read(real_data: Path) -> None:
    import trimesh

    for path in sorted((real_data / "modelnet10_off").glob("*.off")):
        points = draw_points(path, path.read_bytes(), np.random.default_rng(0))
        mesh = trimesh.load_mesh(path, process=False)
        assert (points >= mesh.bounds[0] - 1e-4).all()
        assert (points <= mesh.bounds[1] + 1e-4).all()
        centre = (mesh.triangles_center * mesh.area_faces[:, None]).sum(0) / mesh.area_faces.sum()
        assert np.abs(points.mean(0) - centre).max() < 0.03 * np.ptp(mesh.bounds, axis=0).max()
