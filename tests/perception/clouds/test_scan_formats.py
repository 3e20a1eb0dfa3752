"""PLY and PCD; their damage is tested with what reads scans from files (`test_scan_file.py`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.clouds.scan_formats import read_pcd, read_ply
from perception.errors import InputError

pytest.importorskip("trimesh")  # comes with [lidar]

PLY = b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
PCD = b"VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 2\nDATA ascii\n"
ROWS = b"0 0 0\n1 2 3\n"


@pytest.mark.parametrize(("read", "data"), [(read_ply, PLY + ROWS), (read_pcd, PCD + ROWS)])
def test_points_may_have_no_colours(read, data: bytes) -> None:
    points, colors = read(Path("a"), data, "leave it out")
    assert points.tolist() == [[0, 0, 0], [1, 2, 3]]
    assert points.dtype == np.float64
    assert colors is None


@pytest.mark.parametrize("read", [read_ply, read_pcd])
def test_another_file_is_refused_with_the_callers_cure(read) -> None:
    with pytest.raises(InputError, match=r"a\.xyz: expected the header of a P.. file.*; leave it out"):
        read(Path("a.xyz"), b"0 0 0\n", "leave it out")
