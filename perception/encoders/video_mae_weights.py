"""Loads the weights of a `VideoMae` from a checkpoint of its authors or of Hugging Face, completely or not at all.

The authors name the tensors as we do; those of pre-training have the prefix `encoder.` and a decoder beside them.
Hugging Face has other names, query, key and value one by one, and in older files their biases apart from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from perception.encoders.video_mae import VideoMae
from perception.encoders.vit_weights import copy_tensors, expect_names, join_parts
from perception.errors import first_of
from perception.frozen.weights import WeightsError, open_tensors

_PARTS = {
    r"attention\.attention\.(query|key|value)\.weight": r"attn.\1.weight",
    r"attention\.attention\.query\.bias|attention\.attention\.q_bias": "attn.q_bias",
    r"attention\.attention\.value\.bias|attention\.attention\.v_bias": "attn.v_bias",
    r"attention\.output\.dense\.(\w+)": r"attn.proj.\1",
    r"layernorm_before\.(\w+)": r"norm1.\1",
    r"layernorm_after\.(\w+)": r"norm2.\1",
    r"intermediate\.dense\.(\w+)": r"mlp.fc1.\1",
    r"output\.dense\.(\w+)": r"mlp.fc2.\1",
}
"""Pattern of Hugging Face's name in a layer → the authors'."""
_OTHERS = {
    r"embeddings\.patch_embeddings\.projection\.(\w+)": r"patch_embed.proj.\1",
    r"layernorm\.(\w+)": r"norm.\1",
    r"classifier\.(\w+)": r"head.\1",
}
_WRAPPERS = ("module.", "backbone.")
_OF_PRETRAINING = ("decoder.", "encoder_to_decoder.", "mask_token", "norm.")
"""What a classifier does not have. The authors drop the last norm too: `fc_norm` stands in its place."""


def load_video_mae(
    path: Path, encoder: VideoMae, head: Mapping[str, nn.Module] | None = None, *, drop_head: bool = False
) -> None:
    """Puts a checkpoint's weights into an encoder and, if given, into a head.

    Names and shapes must match exactly; otherwise nothing is changed. Decoder, mask token and last norm of a
    checkpoint of pre-training are left out.

    Args:
        path: A .safetensors or .pth file, of pre-training or fine-tuning.
        encoder: Encoder.
        head: Parts of the head by the authors' names, `fc_norm` and `head`.
        drop_head: Whether to leave out the checkpoint's own head, which is of other classes.

    Raises:
        WeightsError: The file cannot be read, a tensor is missing, left over, of another shape, or not finite.
    """
    if head is not None and drop_head:
        raise ValueError("load_video_mae: expected a head to load or drop_head, got both")
    stored = published_names(open_tensors(path), path)
    stored = _renamed(stored, {name: name.removeprefix("encoder.") for name in stored}, path)
    stored = {name: value for name, value in stored.items() if not name.startswith(_OF_PRETRAINING)}
    if drop_head:
        stored = {name: value for name, value in stored.items() if not name.startswith(("head.", "fc_norm."))}
    wanted = dict(encoder.state_dict())
    for part, module in (head or {}).items():
        wanted |= {f"{part}.{name}": value for name, value in module.state_dict().items()}
    expect_names(stored.keys(), wanted.keys(), path)
    copy_tensors(stored, wanted, path)


def published_names(stored: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Returns tensors under the authors' names, those of a decoder too.

    Args:
        stored: Tensors of any of the known kinds of checkpoints.
        path: What to name in a message.

    Raises:
        WeightsError: Two tensors would have the same name, or parts of a layer do not go together.
    """
    bare = {name: re.sub(rf"^({'|'.join(map(re.escape, _WRAPPERS))})+", "", name) for name in stored}
    stored = _renamed(stored, bare, path)
    if not any(name.removeprefix("videomae.").startswith("embeddings.") for name in stored):
        return stored
    ours = _renamed(stored, {name: _of_hugging_face(name.removeprefix("videomae.")) for name in stored}, path)
    for first in [name for name in ours if name.endswith(".attn.query.weight")]:
        join_parts(ours, first, path)
    return ours


def _of_hugging_face(name: str) -> str:
    layer = re.fullmatch(r"(encoder\.layer|decoder\.decoder_layers)\.(\d+)\.(.+)", name)
    place, patterns = name, _OTHERS
    if layer is not None:
        place, patterns = layer[3], _PARTS
    found = next((re.sub(p, to, place) for p, to in patterns.items() if re.fullmatch(p, place)), None)
    if found is None or layer is None:
        return found or name
    return f"{'decoder.' if layer[1].startswith('decoder') else ''}blocks.{layer[2]}.{found}"


def _renamed(stored: Mapping[str, Tensor], names: Mapping[str, str], path: Path) -> dict[str, Tensor]:
    renamed = {names[name]: value for name, value in stored.items()}
    if len(renamed) < len(stored):
        twice = [name for name in names.values() if list(names.values()).count(name) > 1]
        raise WeightsError(f"{path}: found two tensors for {first_of(sorted(set(twice)))}; save it anew")
    return renamed
