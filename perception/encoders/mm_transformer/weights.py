"""Loads the released weights of mmTransformer (decisionforce/mmTransformer), completely or not at all.

Encoder and head have the released names without `stacked_transformer.` and `prediction_header.`; two modules of the
released code that it never calls (`social_dec`, `dis_emb`) and its table of position encodings are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from perception.errors import first_of
from perception.frozen.weights import WeightsError, open_tensors

RELEASED = {
    r"stacked_transformer\.prediction_header\.(.+)": r"head.\1",
    r"stacked_transformer\.(.+)": r"encoder.\1",
    r"subgraph\.(.+)": r"encoder.subgraph.\1",
}
"""Pattern of a released name → ours in a `Forecaster`; the first that fits."""
NOT_CALLED = re.compile(r".*\b(social_dec|dis_emb)\b.*|.*\.src_embed\.1\.pe")
OURS = ("region_centers", "region_weights")
"""Buffers of the head that only the region-based training sets."""


def load_mm_transformer(path: Path, encoder: nn.Module, head: nn.Module) -> None:
    """Puts a released checkpoint's weights into an encoder and a head.

    Names and shapes must match exactly; otherwise neither module is changed.

    Args:
        path: A .pth, .pt or .safetensors file; names may begin with `module.`, as of a model trained in parallel.
        encoder: An `MMTransformer` of the released size.
        head: Its `ProposalDecoder`, of 30 steps and one region.

    Raises:
        WeightsError: The file cannot be read, or a tensor is missing, left over or of another shape.
    """
    stored = as_ours(open_tensors(path))
    wanted = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    wanted |= {f"head.{name}": value for name, value in head.state_dict().items() if name not in OURS}
    for found, expected, words in ((wanted, stored, "does not need"), (stored, wanted, "lacks")):
        if odd := sorted(expected.keys() - found.keys()):
            raise WeightsError(
                f"{path}: expected the tensors of mmTransformer as released, it {words} {first_of(odd)}; give the "
                "checkpoint of its six proposals, and an encoder of the same numbers"
            )
    for name, value in wanted.items():
        if stored[name].shape != value.shape:
            raise WeightsError(
                f"{path}: expected {name} of shape {tuple(value.shape)}, found {tuple(stored[name].shape)}; give an "
                "encoder of the checkpoint's numbers"
            )
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(stored[name])


def as_ours(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under our names, without those that the released code never uses; others keep their names."""
    ours = {}
    for name, value in stored.items():
        released = name.removeprefix("module.")
        if not NOT_CALLED.fullmatch(released):
            pattern = next((pattern for pattern in RELEASED if re.fullmatch(pattern, released)), None)
            ours[re.sub(pattern, RELEASED[pattern], released) if pattern else released] = value
    return ours
