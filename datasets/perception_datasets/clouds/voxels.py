"""Shapes on a grid as clouds: the centres of the voxels at the surface, each moved at random inside its voxel.

`modelnet10_voxels.npz` holds `train_bits` and `test_bits` (the bits of 30 × 30 × 30 voxels a shape, axis 2 up),
`train_label`, `test_label` and `classes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from perception.errors import InputError
from perception_datasets.clouds.records import Clouds
from perception_datasets.errors import bad_file, reading
from perception_datasets.images.records import PackedTexts

FILE = "modelnet10_voxels.npz"
SIDE = 30
CURE = "copy the file again"
_MAX_BYTES = 256 << 20


@dataclass(frozen=True)
class VoxelSource:
    """Shapes in memory: 3 kB each."""

    path: Path
    bits: UInt8[np.ndarray, "shapes bytes"]
    is_drawn: bool = True

    def read(self, row: int, rng: np.random.Generator) -> Float32[np.ndarray, "points 3"]:
        """Returns a point in each voxel at the surface, in units of the grid's side."""
        grid = np.unpackbits(self.bits[row])[: SIDE**3].reshape(SIDE, SIDE, SIDE).astype(bool)
        voxels = np.argwhere(surface(grid))
        if not len(voxels):
            raise bad_file(self.path, f"shape {row}: expected voxels, found none", "leave it out")
        return ((voxels + rng.random(voxels.shape)) / SIDE - 0.5).astype(np.float32)


def surface(grid: np.ndarray) -> np.ndarray:
    """Returns which occupied voxels have a free one beside them, or lie at the edge of the grid."""
    padded = np.pad(grid, 1)
    inner = np.ones_like(grid)
    for axis in range(3):
        for shift in (-1, 1):
            inner &= np.roll(padded, shift, axis)[1:-1, 1:-1, 1:-1]
    return grid & ~inner


def find_voxels(path: Path, split: str, classes: Sequence[str] | None) -> Clouds | None:
    """Returns the shapes of a split; None if there is no such file.

    Raises:
        InputError: There is no such split, or the file is damaged.
    """
    file = path / FILE if path.is_dir() else path
    if file.name != FILE or not file.is_file():
        return None
    with reading(file, CURE):
        if file.stat().st_size > _MAX_BYTES:
            raise bad_file(file, f"expected at most {_MAX_BYTES >> 20} MB", CURE)
        with np.load(file, allow_pickle=False) as arrays:
            if f"{split}_bits" not in arrays:
                splits = ", ".join(name.removesuffix("_bits") for name in arrays if name.endswith("_bits"))
                raise InputError(f"{file}: expected split {split!r}, found {splits}; give one of these")
            bits, labels = arrays[f"{split}_bits"], arrays[f"{split}_label"].astype(np.int64)
            ordered = tuple(map(str, arrays["classes"]))
    if bits.dtype != np.uint8 or bits.shape != (len(labels), -(-(SIDE**3) // 8)) or not len(labels):
        found = f"found {bits.dtype} of shape {bits.shape} for {len(labels)} labels"
        raise bad_file(file, f"expected {SIDE**3} bits for each shape, {found}", CURE)
    if not 0 <= labels.min() <= labels.max() < len(ordered):
        raise bad_file(file, f"expected labels below {len(ordered)}, found {labels.min()} to {labels.max()}", CURE)
    if classes is not None and tuple(classes) != ordered:
        raise InputError(f"{file}: expected the classes {', '.join(classes)}, found {', '.join(ordered)}")
    ids = [f"{ordered[label]}/{row}" for row, label in enumerate(labels)]
    layout = f"voxels ({SIDE} × {SIDE} × {SIDE})"
    return Clouds(
        file, split, layout, ordered, PackedTexts(ids), labels, np.arange(len(labels)), VoxelSource(file, bits)
    )
