"""Writes safetensors files atomically."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from perception.errors import InputError
from perception.files import whole_file
from perception.frozen.weights.blocks import WeightsError

ALIGNMENT = 64
"""Tensors start at multiples of this many bytes in the file, and so in mapped memory, if their sizes are multiples of
it. This is the size of a cache line, and PyTorch's int8 kernel needs aligned weights (`precision.py`)."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a file atomically, by `whole_file`.

    Raises:
        WeightsError: The file cannot be written.
    """
    try:
        with whole_file(path) as temporary:
            _save_aligned(temporary, dict(tensors), dict(metadata))
            temporary.chmod(0o644)  # safetensors lets only the owner read it, but a robot's nodes run as other users
    except InputError as error:
        raise WeightsError(str(error)) from error


def _save_aligned(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Pads the header with blanks, which the format allows; safetensors itself aligns it to 8 bytes only."""
    plain = path.with_name(f"{path.name}.plain")
    try:
        try:
            save_file(tensors, plain, metadata)
        except SafetensorError as error:  # also for a full disk
            raise OSError(str(error)) from error
        with plain.open("rb") as source, path.open("wb") as file:
            length = int.from_bytes(source.read(8), "little")
            filled = length + -(8 + length) % ALIGNMENT
            file.write(filled.to_bytes(8, "little") + source.read(length).ljust(filled))
            shutil.copyfileobj(source, file, 1 << 24)
    finally:
        plain.unlink(missing_ok=True)
