"""Loads METER's published checkpoints into an `ImageText`, by their names, completely or not at all.

METER's own tensors that our model has no use for are left out: masked language modelling, CLIP's text side, RoBERTa's
pooler, heads of other tasks. The block is never in a checkpoint.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from perception.encoders.clip_vision import resize_positions
from perception.errors import first_of
from perception.frozen.weights import WeightsError, open_tensors
from perception.models.image_text import ImageText

NAMES = {
    r"text_transformer\.(?!pooler)(.+)": r"text.\1",
    r"vit_model\.visual\.class_embedding": "image.embeddings.class_embedding",
    r"vit_model\.visual\.positional_embedding": "image.embeddings.position_embedding.weight",
    r"vit_model\.visual\.conv1\.weight": "image.embeddings.patch_embedding.weight",
    r"vit_model\.visual\.ln_pre\.(\w+)": r"image.pre_layrnorm.\1",
    r"vit_model\.visual\.ln_post\.(\w+)": r"image.post_layernorm.\1",
    r"vit_model\.visual\.transformer\.resblocks\.(\d+)\.attn\.in_proj_(\w+)": r"image.encoder.layers.\1.in_proj.\2",
    r"vit_model\.visual\.transformer\.resblocks\.(\d+)\.attn\.out_proj\.(\w+)": (
        r"image.encoder.layers.\1.self_attn.out_proj.\2"
    ),
    r"vit_model\.visual\.transformer\.resblocks\.(\d+)\.ln_([12])\.(\w+)": r"image.encoder.layers.\1.layer_norm\2.\3",
    r"vit_model\.visual\.transformer\.resblocks\.(\d+)\.mlp\.c_fc\.(\w+)": r"image.encoder.layers.\1.mlp.fc1.\2",
    r"vit_model\.visual\.transformer\.resblocks\.(\d+)\.mlp\.c_proj\.(\w+)": r"image.encoder.layers.\1.mlp.fc2.\2",
    r"cross_modal_(image|text)_transform\.(\w+)": r"\1_transform.\2",
    r"cross_modal_(image|text)_layers\.(.+)": r"fusion.\1_layers.\2",
    r"cross_modal_(image|text)_pooler\.(.+)": r"\1_pooler.\2",
    r"token_type_embeddings\.weight": "token_type_embeddings.weight",
    r"(itm_score|rank_output|vqa_classifier)\.(.+)": r"\1.\2",
}
"""Pattern of METER's name → ours."""
HEADS = ("vqa_classifier", "itm_score", "rank_output")


def load_meter(path: Path, model: ImageText, *, drop_heads: bool = False) -> None:
    """Puts a checkpoint's weights into a model; its block stays as it is.

    Args:
        path: METER's .ckpt or .pth file, or a .safetensors file with the same names.
        model: A model of its size; position embeddings of other pictures are resized as METER does.
        drop_heads: Whether heads keep their weights, where the checkpoint has none or those of other answers.

    Raises:
        WeightsError: The file cannot be read, lacks a tensor, or has one of another shape; nothing is changed.
    """
    found = _as_ours(open_tensors(path), model, path)
    wanted = {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith("block.") and not (drop_heads and name.split(".")[0] in HEADS)
    }
    if "rank_output.weight" not in found and "itm_score.fc.weight" in found:  # as METER starts it
        found["rank_output.weight"], found["rank_output.bias"] = (
            found["itm_score.fc.weight"][1:],
            (found["itm_score.fc.bias"][1:]),
        )
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        cure = "drop the heads (drop_heads)" if all(name.split(".")[0] in HEADS for name in missing) else "another size"
        raise WeightsError(f"{path}: expected METER's tensors, it lacks those of {first_of(missing)}; try {cure}")
    for name, value in wanted.items():
        if found[name].shape != value.shape or not found[name].isfinite().all():
            raise WeightsError(
                f"{path}: expected {name!r} finite and of shape {tuple(value.shape)}, got {tuple(found[name].shape)}; "
                "build a model of the checkpoint's size, or drop the heads (drop_heads)"
            )
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(found[name])


def _as_ours(stored: dict[str, Tensor], model: ImageText, path: Path) -> dict[str, Tensor]:
    """The tensors under our names; query, key and value one by one."""
    ours: dict[str, Tensor] = {}
    for name, value in stored.items():
        plain = name.removeprefix("state_dict.")
        place = next((re.sub(pattern, to, plain) for pattern, to in NAMES.items() if re.fullmatch(pattern, plain)), "")
        if re.search(r"\.in_proj\.\w+$", place):
            layer, kind = place.rsplit(".in_proj.", 1)
            if len(value) % 3:
                raise WeightsError(f"{path}: expected query, key and value in {name!r}, got {tuple(value.shape)}")
            for part, rows in zip("qkv", value.chunk(3), strict=True):
                ours[f"{layer}.self_attn.{part}_proj.{kind}"] = rows
        elif place:
            ours[place] = value
    table = "image.embeddings.position_embedding.weight"
    if table in ours and ours[table].ndim == 2:
        ours[table] = resize_positions(ours[table], model.image.picture // model.image.patch)
    return ours
