"""A trained model's block in its deployment form, as the files that the block service serves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.folded import fold
from perception.frozen.folded_file import load_folded, save_folded
from perception.kernels.precision import Precision


def write_pipelines(
    adapter: FrozenBlockAdapter | None, run: Path, name: str, out: Path, precisions: Sequence[Precision]
) -> dict[Precision, Path]:
    """Writes OUT/PRECISION/NAME.safetensors and the block's own file beside it, for each precision.

    Args:
        adapter: The model's block.
        run: That it is from, for messages.
        name: Of the recipe; a hyphen takes the place of its slash.
        out: Folder.
        precisions: Of the block's weights.

    Raises:
        InputError: It is no language block.
    """
    if adapter is None or not isinstance(adapter.source, str):
        raise InputError(f"{run}: expected a model with a language block, this one has none; there is nothing to fold")
    written: dict[Precision, Path] = {}
    for precision in precisions:
        written[precision] = save_folded(fold(adapter, precision), out / precision, name.replace("/", "-"))
        folded = load_folded(written[precision])
        print(f"{written[precision]}: {folded.fingerprint[:12]} around block {folded.tail.fingerprint[:12]}")
    return written
