import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from perception_datasets.argoverse import argoverse1_map
from perception_datasets.argoverse.argoverse1_map import MAP_CURE, MAP_FILES, read_city_map
from perception_datasets.errors import Failures, RecordError
from perception_datasets.forecasting import open_forecasting


def test_a_map_is_parsed_once_per_process(argoverse1: Path) -> None:
    maps = argoverse1 / "map_files"
    assert read_city_map(maps, "PIT") is read_city_map(maps, "PIT")


def test_a_missing_city_is_named(argoverse1: Path) -> None:
    with pytest.raises(RecordError, match=f"{MAP_FILES['MIA']}: no such file; unpack .*hd_maps"):
        read_city_map(argoverse1 / "map_files", "MIA")


def test_a_broken_map_is_parsed_once_until_it_is_repaired(argoverse1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, parsed, parse = argoverse1 / "map_files" / MAP_FILES["PIT"], [], argoverse1_map._parse
    monkeypatch.setattr(argoverse1_map, "_parse", lambda path: parsed.append(path) or parse(path))
    text = path.read_text()
    path.write_text(text.replace('x="0.0"', 'x="NaN"'))
    val, failures = open_forecasting(argoverse1, "val"), Failures()
    assert list(val.read_all(failures.add)) == []
    assert len(failures) == 5
    assert len(parsed) == 1
    path.write_text(text + "\n")
    assert len(list(val.read_all(failures.add))) == 5
    assert len(parsed) == 2


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("</ArgoverseVectorMap>", "", "not well-formed XML"),
        ("<ArgoverseVectorMap>", "<!DOCTYPE a []><ArgoverseVectorMap>", "no document type definition, found one"),
        ('<way lane_id="11">', "<way>", "lacks 'lane_id'"),
        ('<way lane_id="11">', '<way lane_id="eleven">', "expected numbers as lane_id, found 'eleven'"),
        ('<nd ref="3"/>', '<nd ref="999"/>', "lane 11: expected <node> 999 in the file, found none"),
        ('k="turn_direction"', 'k="turn"', "lane 11: expected turn_direction NONE or LEFT or RIGHT, found none"),
        ('v="RIGHT"', 'v="UP"', "lane 12: expected turn_direction NONE or LEFT or RIGHT, found 'UP'"),
        ('v="True"', 'v="yes"', "lane 11: expected has_traffic_control True or False, found 'yes'"),
        ('x="0.0"', 'x="zero"', "lane 11, node 0: expected coordinates below 1e[+]07 m, found 'zero'"),
        ('x="2000.0"', 'x="NaN"', "lane 13, node 20: expected coordinates below 1e[+]07 m, found 'NaN'"),
        ('x="2000.0"', 'x="inf"', "lane 13, node 20: expected coordinates below 1e[+]07 m, found 'inf'"),
        ('x="2000.0"', 'x="-1e300"', "lane 13, node 20: expected coordinates below 1e[+]07 m, found '-1e300'"),
    ],
)
def test_a_broken_map_is_named_with_the_reason(argoverse1: Path, old: str, new: str, reason: str) -> None:
    path = argoverse1 / "map_files" / MAP_FILES["PIT"]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(RecordError, match=reason) as raised:
        read_city_map(argoverse1 / "map_files", "PIT")
    assert str(raised.value).startswith(str(path))
    assert str(raised.value).endswith(f"; {MAP_CURE}")


def test_a_lane_without_points_is_named(argoverse1: Path) -> None:
    path = argoverse1 / "map_files" / MAP_FILES["PIT"]
    path.write_text(re.sub('(<way lane_id="14">.*?)(<nd .*?)(</way>)', r"\1\3", path.read_text()))
    with pytest.raises(RecordError, match="lane 14: expected <nd> for the points of its centerline, found none"):
        read_city_map(argoverse1 / "map_files", "PIT")


def test_entities_that_expand_without_end_are_refused_at_once(argoverse1: Path) -> None:
    path = argoverse1 / "map_files" / MAP_FILES["PIT"]
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "lol"}">' for n in range(10))
    path.write_text(f'<!DOCTYPE a [{entities}]><a><node id="&e9;" x="0" y="0"/></a>')
    with pytest.raises(RecordError, match="expected no document type definition"):
        read_city_map(argoverse1 / "map_files", "PIT")


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
