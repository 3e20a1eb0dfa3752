"""Writing a safetensors file so that it is whole or not there."""

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
"""Tensors begin at multiples of it in the file, and so in the memory that a file is mapped into, if their sizes are
multiples of it too: what a processor reads at once, and what PyTorch's int8 kernel needs (`precision.py`)."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a file that is whole or the former one (`whole_file`).

    Raises:
        WeightsError: The file cannot be written there.
    """
    try:
        with whole_file(path) as temporary:
            _save_aligned(temporary, dict(tensors), dict(metadata))
            temporary.chmod(0o644)  # safetensors lets only the writer read, but a robot's nodes run as somebody else
    except InputError as error:
        raise WeightsError(str(error)) from error


def _save_aligned(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Fills the header up with blanks, which the format allows; safetensors alone aligns it to 8 bytes only."""
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
