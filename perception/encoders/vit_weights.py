"""Loads the weights of a `Vit` from a checkpoint of timm, DeiT or Hugging Face, completely or not at all.

timm and DeiT name the tensors as we do. Hugging Face's ViT has other names, and query, key and value one by one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from pathlib import Path

import torch
from torch import Tensor, nn

from perception.encoders.vit import Vit, resample_pos_embed
from perception.errors import first_of
from perception.frozen.weights import WeightsError, open_tensors
from perception.frozen.weights.checkpoint import FLOATING

HUGGING_FACE = {
    r"embeddings\.cls_token": "cls_token",
    r"embeddings\.position_embeddings": "pos_embed",
    r"embeddings\.patch_embeddings\.projection\.(\w+)": r"patch_embed.proj.\1",
    r"encoder\.layer\.(\d+)\.layernorm_before\.(\w+)": r"blocks.\1.norm1.\2",
    r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(\w+)": r"blocks.\1.attn.\2.\3",
    r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)": r"blocks.\1.attn.proj.\2",
    r"encoder\.layer\.(\d+)\.layernorm_after\.(\w+)": r"blocks.\1.norm2.\2",
    r"encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)": r"blocks.\1.mlp.fc1.\2",
    r"encoder\.layer\.(\d+)\.output\.dense\.(\w+)": r"blocks.\1.mlp.fc2.\2",
    r"layernorm\.(\w+)": r"norm.\1",
    r"classifier\.(\w+)": r"head.\1",
}
"""Pattern of Hugging Face's name → ours. Files of `ViTForImageClassification` have the prefix `vit.` too."""
JOINED = ("query", "key", "value")


def load_vit(
    path: Path, encoder: Vit, head: nn.Linear | None = None, *, drop_head: bool = False, resample: bool = False
) -> None:
    """Puts a checkpoint's weights into an encoder and, if given, into the last layer of a head.

    Names and shapes must match exactly; otherwise neither module is changed.

    Args:
        path: A .safetensors or .pth file, of timm's, DeiT's or Hugging Face's names.
        encoder: Encoder.
        head: The linear layer that maps the class token to classes.
        drop_head: Whether to leave out the checkpoint's own head, which is of other classes.
        resample: Whether to interpolate position embeddings that are for another size of picture. They are taken to be
            for a square one, since no checkpoint says its grid.

    Raises:
        WeightsError: The file cannot be read, a tensor is missing, left over, of another shape, or not finite.
    """
    if head is not None and drop_head:
        raise ValueError("load_vit: expected a head to load or drop_head, got both")
    stored = _as_ours(open_tensors(path), path)
    if drop_head:
        stored = {name: value for name, value in stored.items() if not name.startswith("head.")}
    wanted = dict(encoder.state_dict())
    if head is not None:
        wanted |= {f"head.{name}": value for name, value in head.state_dict().items()}
    expect_names(stored.keys(), wanted.keys(), path)
    if resample:
        stored["pos_embed"] = _resampled(stored["pos_embed"], encoder)
    copy_tensors(stored, wanted, path)


def _as_ours(stored: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Returns the tensors under our names."""
    if not any(name.removeprefix("vit.").startswith("embeddings.") for name in stored):
        return dict(stored)
    ours = {}
    for name, value in stored.items():
        found = [(p, to) for p, to in HUGGING_FACE.items() if re.fullmatch(p, name.removeprefix("vit."))]
        ours[re.sub(*found[0], name.removeprefix("vit.")) if found else name] = value
    if len(ours) != len(stored):
        raise WeightsError(f"{path}: found tensors with and without the prefix `vit.` of the same name; save it anew")
    for first in [name for name in ours if re.fullmatch(r"blocks\.\d+\.attn\.query\.\w+", name)]:
        join_parts(ours, first, path)
    return ours


def join_parts(tensors: dict[str, Tensor], first: str, path: Path) -> None:
    """Replaces query, key and value of a layer by one tensor, in place.

    Args:
        tensors: The tensors by name.
        first: Name of the query's.
        path: What to name in a message.

    Raises:
        WeightsError: One is missing, or of another shape.
    """
    names = [first.replace(".query.", f".{part}.") for part in JOINED]
    parts = [tensors.get(name) for name in names]
    shapes = [None if part is None else tuple(part.shape) for part in parts]
    if None in shapes or len(set(shapes)) != 1:
        raise WeightsError(f"{path}: expected {', '.join(names)} of one shape, got {shapes}; download it again")
    tensors[first.replace(".query.", ".qkv.")] = torch.cat([tensors.pop(name) for name in names])


def copy_tensors(stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> None:
    """Copies a checkpoint's tensors over a model's, all of them or none.

    Raises:
        WeightsError: One is of another shape, or not finite.
    """
    for name, value in wanted.items():
        _expect_tensor(name, stored[name], value, path)
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(stored[name])


def expect_names(stored: Set[str], wanted: Set[str], path: Path) -> None:
    """Raises WeightsError where a checkpoint has other tensors than those of a transformer and its head."""
    if missing := sorted(wanted - stored):
        raise WeightsError(
            f"{path}: expected the tensors of a ViT of this depth and head, it lacks {first_of(missing)}; "
            f"give a checkpoint of the encoder's size"
        )
    if surplus := sorted(stored - wanted):
        is_head = all(name.startswith(("head.", "fc_norm.")) for name in surplus)
        cure = "give the head too, or drop it (drop_head)" if is_head else "it is of another size or architecture"
        raise WeightsError(f"{path}: found tensors that this ViT does not have, {first_of(surplus)}; {cure}")


def _expect_tensor(name: str, stored: Tensor, wanted: Tensor, path: Path) -> None:
    if stored.shape != wanted.shape:
        cure = "give a checkpoint of the encoder's size"
        if name.startswith("head."):
            cure = "its head is of other classes: drop it (drop_head)"
        elif name == "pos_embed" and stored.shape[-1:] == wanted.shape[-1:]:
            cure = "it is for another size of picture or patch: ask for interpolation (resample)"
        raise WeightsError(
            f"{path}: expected tensor {name!r} of shape {tuple(wanted.shape)}, got {tuple(stored.shape)}; {cure}"
        )
    if stored.dtype not in FLOATING or not stored.isfinite().all():
        raise WeightsError(
            f"{path}: expected finite floating-point numbers in tensor {name!r}, got {stored.dtype} or some that are "
            "not finite; download it again"
        )


def _resampled(pos_embed: Tensor, encoder: Vit) -> Tensor:
    """Returns position embeddings for the encoder's grid; as they are if they are not those of a square."""
    side = round(max(pos_embed.numel() // max(pos_embed.shape[-1], 1) - 1, 0) ** 0.5) if pos_embed.ndim == 3 else 0
    if not side or pos_embed.shape[:2] != (1, 1 + side**2) or not pos_embed.is_floating_point():
        return pos_embed
    return resample_pos_embed(pos_embed, (side, side), encoder.grid)
