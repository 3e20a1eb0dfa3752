"""Opens a file that holds the tensors of a whole model, without executing code from it."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from perception.files import reading
from perception.frozen.weights.blocks import WeightsError
from perception.frozen.weights.pickled import open_pickled

WITHIN = ("model", "state_dict", "base_model", "module")
"""Keys under which training scripts save tensors: DeiT's, timm's, Point-BERT's, and VideoMAE's by DeepSpeed."""


def open_tensors(path: Path) -> dict[str, Tensor]:
    """Maps the tensors of a .safetensors file, or of PyTorch's (.pth, .pt, .bin); each is read when it is used.

    Raises:
        WeightsError: The file is missing, truncated, or holds anything but tensors.
    """
    if path.suffix != ".safetensors":
        return open_pickled(path, WITHIN)
    with reading(path, "if it was cut short, download it again", WeightsError), safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}
