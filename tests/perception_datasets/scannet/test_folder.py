from collections.abc import Callable
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_datasets.folders import SYNTHETIC_MARKER
from perception_datasets.scannet.folder import open_scans
from perception_datasets.scannet.official import OfficialScans


def test_the_layout_is_recognised(
    tmp_path: Path, make_raw_scan: Callable, write_official: Callable, write_preprocessed: Callable
) -> None:
    write_official(tmp_path / "official", make_raw_scan())
    write_preprocessed(tmp_path / "arrays" / "scannet_data", make_raw_scan(), "scanqa")
    assert isinstance(open_scans(tmp_path / "official"), OfficialScans)
    arrays = open_scans(tmp_path / "arrays")
    assert arrays.names() == ["scene0001_00"]
    assert arrays.source == "scannet"
    (tmp_path / "arrays" / SYNTHETIC_MARKER).write_text("{}")
    assert arrays.source == "synthetic"


def test_a_folder_without_scans_is_refused_with_the_known_layouts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected scans in a known layout, found none(.|\n)*_vh_clean_2.ply"):
        open_scans(tmp_path)
