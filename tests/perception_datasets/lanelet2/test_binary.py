from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception_datasets.errors import RecordError
from perception_datasets.lanelet2 import binary
from perception_datasets.lanelet2.binary import osm_of_binary
from perception_datasets.lanelet2.lanes import read_lanelet2

AWAY_M = np.array([81_234.5, 49_876.25])


@pytest.fixture
def archive(write_crossing, tmp_path: Path) -> Path:
    """The small map as lanelet2's own writer archives it, in a frame far from the origin."""
    lanelet2 = pytest.importorskip("lanelet2")
    projector = lanelet2.projection.LocalCartesianProjector(lanelet2.io.Origin(0.0, 0.0))
    lanelets = lanelet2.io.load(str(write_crossing(tmp_path / "a.osm")), projector)
    for point in lanelets.pointLayer:
        point.x = float(point.attributes["local_x"]) + float(AWAY_M[0])
        point.y = float(point.attributes["local_y"]) + float(AWAY_M[1])
    lanelet2.io.write(str(tmp_path / "a.bin"), lanelets, projector)
    return tmp_path / "a.bin"


def test_an_archive_of_lanelet2s_own_gives_the_lanes_that_were_put_in(
    archive: Path, write_crossing, tmp_path: Path
) -> None:
    osm_of_binary(archive, tmp_path / "b.osm")
    found, expected = read_lanelet2(tmp_path / "b.osm"), read_lanelet2(write_crossing(tmp_path / "c.osm"))
    ours, theirs = (each.index.polylines for each in (found, expected))
    by_id = np.argsort(ours.ids, kind="stable")  # lanelet2 writes lanelets in another order
    np.testing.assert_allclose(ours.points[by_id], theirs.points + AWAY_M, atol=1e-6)
    for name in ("ids", "kinds", "turns", "is_intersection", "has_traffic_control"):
        np.testing.assert_array_equal(getattr(ours, name)[by_id], getattr(theirs, name))
    assert found.left_out == expected.left_out


@pytest.mark.parametrize("damage", ["cut", "text", "filled", "empty"])
def test_a_damaged_archive_is_refused_with_the_cure(archive: Path, tmp_path: Path, damage: str) -> None:
    data = archive.read_bytes()
    damaged = {"cut": data[: len(data) // 2], "text": b"hello" * 99, "filled": data[:60] + b"\xff" * 500, "empty": b""}
    archive.write_bytes(damaged[damage])
    with pytest.raises(RecordError, match=r"a\.bin: expected an archive that lanelet2 can read.*give the \.osm file"):
        osm_of_binary(archive, tmp_path / "b.osm")


def test_without_lanelet2_its_name_is_said(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "lanelet2.py").write_text("raise ModuleNotFoundError(name='lanelet2')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'hidden'}:{':'.join(__import__('sys').path)}")
    with pytest.raises(ModuleNotFoundError, match="lanelet2"):
        osm_of_binary(archive, tmp_path / "b.osm")


def test_an_archive_that_takes_for_ever_is_given_up(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary, "MAX_SECONDS", 1e-3)
    with pytest.raises(RecordError, match=r"expected lanelet2 to read it within 0\.001 s"):
        osm_of_binary(archive, tmp_path / "b.osm")
