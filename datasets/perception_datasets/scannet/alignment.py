"""Reader of `<scene>.txt`, whose transform turns the walls of a raw ScanNet scan parallel to the axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from perception.geometry import SE3


def read_alignment(path: Path) -> SE3:
    """Returns `scene_SE3_raw` of a scan; the identity if the file states none, as for some of ScanNet's scans.

    Raises:
        ValueError: The transform is broken, or the file has no line of the form `name = value`.
    """
    lines = path.read_text().splitlines()
    if not any("=" in line for line in lines):
        raise ValueError("expected lines such as axisAlignment = 1 0 0 0 …, found none")
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() == "axisAlignment":
            numbers = np.array(value.split(), dtype=np.float64)
            if numbers.size != 16:
                raise ValueError(f"expected 16 numbers after axisAlignment, found {numbers.size}")
            return SE3.from_matrix(numbers.reshape(4, 4))
    return SE3(np.eye(3), np.zeros(3))
