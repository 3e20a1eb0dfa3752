"""Writing a safetensors file so that it is whole or not there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from perception.frozen.weights.blocks import WeightsError


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes under a temporary name beside `path` and renames; an interrupted write leaves nothing under that name.

    Raises:
        WeightsError: The file cannot be written there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(dict(tensors), temporary, dict(metadata))
            temporary.chmod(0o644)  # safetensors lets only the writer read, but a robot's nodes run as somebody else
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: cannot be written ({error})") from error
