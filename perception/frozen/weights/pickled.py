"""Opens PyTorch files (.pth, .bin) without executing code from them and without reading them entirely."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

from perception.frozen.weights.blocks import WeightsError


def open_pickled(path: Path) -> dict[str, Tensor]:
    """Maps the tensors of a file; each is read from disk when it is used.

    Raises:
        WeightsError: The file is missing, truncated, of the old format, or holds anything but tensors.
    """
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: expected a weights file here, there is none") from None
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path}: refused, it holds more than tensors ({_first_line(error)})") from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise WeightsError(
            f"{path}: not a readable PyTorch file ({_first_line(error)}); if it was cut short, download it again"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise WeightsError(f"{path}: expected a flat dict of tensors, found something else")
    return tensors


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
