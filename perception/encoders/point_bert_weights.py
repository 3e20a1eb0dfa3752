"""Loads the weights of a `PointBert` from the published checkpoints of Point-BERT, completely or not at all.

A checkpoint holds its tensors under `base_model`. After pre-training, those of the encoder begin with `transformer_q.`;
beside them are the heads of pre-training and the tokeniser, which are left out. After fine-tuning there is no prefix,
and the head is called `cls_head_finetune`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from perception.encoders.point_bert import PointBert
from perception.errors import first_of
from perception.frozen.weights import WeightsError, open_tensors
from perception.frozen.weights.checkpoint import FLOATING

PRETRAINED = "transformer_q."
HEAD = "cls_head_finetune."
PRETRAINING_ONLY = ("cls_head.", "lm_head.", "mask_token", "mask_pos")
"""Beginnings of names, after `PRETRAINED`, of what serves pre-training alone."""
COUNTERS = "num_batches_tracked"
"""BatchNorm's counters are integers, and unused; they are loaded where they are there."""


def load_point_bert(path: Path, encoder: PointBert, head: nn.Sequential | None = None) -> None:
    """Puts a checkpoint's weights into an encoder and, if given, into the layers of a head.

    Names and shapes must match exactly after the prefixes are taken off; otherwise neither module is changed.

    Args:
        path: A .pth or .safetensors file.
        encoder: Encoder.
        head: Layers of the head of a fine-tuned checkpoint. Without them, a head in the file is left out.

    Raises:
        WeightsError: The file cannot be read, a tensor is missing, left over, of another shape, or not finite.
    """
    stored = _stripped(open_tensors(path))
    wanted = dict(encoder.state_dict())
    if head is not None:
        wanted |= {HEAD + name: value for name, value in head.state_dict().items()}
    else:
        stored = {name: value for name, value in stored.items() if not name.startswith(HEAD)}
    missing = sorted(name for name in wanted if name not in stored and not name.endswith(COUNTERS))
    if missing:
        raise WeightsError(
            f"{path}: expected the tensors of a Point-BERT, it lacks {first_of(missing)}; give a checkpoint of "
            "Point-BERT of the encoder's size"
        )
    if surplus := sorted(stored.keys() - wanted.keys()):
        raise WeightsError(
            f"{path}: found tensors that this Point-BERT does not have, {first_of(surplus)}; it is of another size or "
            "architecture"
        )
    for name, value in stored.items():
        _expect_tensor(path, name, value, wanted[name])
    with torch.no_grad():
        for name, value in stored.items():
            wanted[name].copy_(value)


def _stripped(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the encoder's tensors, and a fine-tuned head's, without prefixes."""
    names = {name: name.removeprefix("base_model.").replace("module.", "") for name in stored}
    if any(name.startswith(PRETRAINED) for name in names.values()):
        ours = {n: new.removeprefix(PRETRAINED) for n, new in names.items() if new.startswith(PRETRAINED)}
        return {new: stored[n] for n, new in ours.items() if not new.startswith(PRETRAINING_ONLY)}
    return {new.removeprefix("base_model."): stored[name] for name, new in names.items()}


def _expect_tensor(path: Path, name: str, stored: Tensor, wanted: Tensor) -> None:
    if stored.shape != wanted.shape:
        cure = (
            "its head is of other classes: leave it out" if name.startswith(HEAD) else "give one of the encoder's size"
        )
        raise WeightsError(
            f"{path}: expected tensor {name!r} of shape {tuple(wanted.shape)}, got {tuple(stored.shape)}; {cure}"
        )
    if name.endswith(COUNTERS):
        return
    if stored.dtype not in FLOATING or not stored.isfinite().all():
        raise WeightsError(
            f"{path}: expected finite floating-point numbers in tensor {name!r}, got {stored.dtype} or some that are "
            "not finite; download it again"
        )
