"""The checkpoint that a run goes on from, and the one before it: one of them is always whole."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from typing_extensions import override

from perception.errors import InputError
from perception.files import flush_to_disk, reading, whole_file

_CURE = "give --restart to train from the beginning"
"""Where no checkpoint can be read."""


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and then renames it, keeps the former one, and reads that one if it must.

    Lightning's own stages the file in $TMPDIR and copies it from there where that is another disk, so that a process
    that is killed meanwhile leaves a torso (Lightning-AI/pytorch-lightning#21253).
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Writes a checkpoint; what was there before is called `former_checkpoint(path)` from now on.

        Raises:
            InputError: It cannot be written; both files are as they were.
        """
        place, content = Path(path), io.BytesIO()
        torch.save(checkpoint, content)  # into memory: onto a full disk it raises a RuntimeError that hides the reason
        with whole_file(place) as temporary:
            temporary.write_bytes(content.getbuffer())
            flush_to_disk(temporary)
            if place.exists():
                place.replace(former_checkpoint(place))

    @override
    def load_checkpoint(
        self, path: Any, map_location: Callable | None = lambda storage, _: storage, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Reads a checkpoint; where it is missing or damaged, the one before it, and says so.

        Raises:
            InputError: Neither can be read.
        """
        place = Path(path)
        former = former_checkpoint(place)
        try:
            return _read(place, map_location)
        except InputError as damaged:
            reason = str(damaged).removesuffix(f"; {_CURE}")
            try:
                checkpoint = _read(former, map_location)
            except InputError as error:
                raise InputError(f"{reason}; and {error}") from error
            print(f"{reason}; training goes on from the checkpoint before it, {former}")
            return checkpoint


def former_checkpoint(path: Path) -> Path:
    """Where the checkpoint before the one at `path` is."""
    return path.with_stem(f"{path.stem}-former")


def _read(path: Path, map_location: Callable | None) -> dict[str, Any]:
    with reading(path, _CURE):
        return torch.load(path, map_location=map_location, weights_only=True)
