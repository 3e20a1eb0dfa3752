import importlib.util
from pathlib import Path

import numpy as np
import pytest

from perception_datasets.argoverse.argoverse1_map import MAP_FILES, read_city_map
from perception_datasets.errors import RecordError


def test_a_map_is_parsed_once_per_process(argoverse1: Path) -> None:
    maps = argoverse1 / "map_files"
    assert read_city_map(maps, "PIT") is read_city_map(maps, "PIT")


def test_a_missing_city_is_named(argoverse1: Path) -> None:
    with pytest.raises(RecordError, match=f"{MAP_FILES['MIA']}: no such file; unpack .*hd_maps"):
        read_city_map(argoverse1 / "map_files", "MIA")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("</ArgoverseVectorMap>", "", "not well-formed XML"),
        ('<way lane_id="11">', "<way>", "lacks 'lane_id'"),
        ('<nd ref="3"/>', '<nd ref="999"/>', "lacks '999'"),
        ('k="turn_direction"', 'k="turn"', "lacks 'turn_direction'"),
        ('x="0.0"', 'x="zero"', "could not convert"),
    ],
)
def test_a_broken_map_is_named_with_the_reason(argoverse1: Path, old: str, new: str, reason: str) -> None:
    path = argoverse1 / "map_files" / MAP_FILES["PIT"]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(RecordError, match=reason) as raised:
        read_city_map(argoverse1 / "map_files", "PIT")
    assert str(path) in str(raised.value)


def test_the_real_maps_hold_the_centerlines_of_their_table(real_data: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    spec = importlib.util.spec_from_file_location("unpack_argoverse1", real_data / "unpack_argoverse1.py")
    assert spec is not None
    assert spec.loader is not None
    unpack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unpack)
    count = unpack.write_map("PIT", tmp_path)
    lanes = read_city_map(tmp_path / "map_files", "PIT").polylines
    table = pq.read_table(real_data / "argoverse1" / "maps" / "av1_PIT_lanes.parquet")
    assert len(lanes) == count == table.num_rows
    np.testing.assert_array_equal(lanes.ids, table["lane_id"].to_numpy())
    for row in range(0, count, 97):
        if len(table["x"][row]) == 10:
            expected = np.stack([table["x"][row].values.to_numpy(), table["y"][row].values.to_numpy()], axis=1)
            np.testing.assert_array_equal(lanes.points[row], expected)
