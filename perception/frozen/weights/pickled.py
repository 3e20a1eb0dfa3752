"""Opens PyTorch files (.pth, .bin) without executing code from them and without reading them entirely."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from perception.files import reading
from perception.frozen.weights.blocks import WeightsError

_CURE = "if it was cut short, download it again; one from before PyTorch 1.6 must be saved anew"


def open_pickled(path: Path, within: Sequence[str] = ()) -> dict[str, Tensor]:
    """Maps the tensors of a file; each is read from disk when it is used.

    Args:
        path: The file.
        within: Keys of a training script's checkpoint; where the file has one of them and a dict under it, the tensors
            are those of the first such dict.

    Raises:
        WeightsError: The file is missing, truncated, of the old format, or holds anything but tensors.
    """
    with reading(path, _CURE, WeightsError):
        with zipfile.ZipFile(path) as archive:
            packed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise WeightsError(f"{path}: refused, {packed[0]!r} in it is compressed, as PyTorch never does")
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except pickle.UnpicklingError as error:
            # The rest of PyTorch's message advises to load the file without this protection.
            named = re.search(r".*\bGLOBAL\b.*|WeightsUnpickler error.*", str(error))
            reason = f" ({named[0][:200]})" if named else ""
            raise WeightsError(f"{path}: refused, it holds more than tensors{reason}") from error
    if isinstance(tensors, dict):
        tensors = next((tensors[key] for key in within if isinstance(tensors.get(key), dict)), tensors)
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise WeightsError(f"{path}: expected a flat dict of tensors, found something else")
    for name, value in tensors.items():
        # One number can stand for a tensor of any shape, which would take memory only when it is copied.
        if value.layout is not torch.strided or value.nbytes > value.untyped_storage().nbytes():
            raise WeightsError(f"{path}: tensor {name!r} has fewer numbers in the file than its shape asks for")
    return tensors
