"""Saves and loads folded blocks: one file per pipeline, and one for the block's tail, which pipelines share.

    FOLDER/forecaster.safetensors              the pipeline's own maps
    FOLDER/block-1f0c…-int8.safetensors        the tail, by far the larger file

Tensors are memory-mapped, so processes that load the same tail share one copy of it (except `int8_dynamic`, whose
kernel packs its own copy). Each file stores a digest of its tensors, and a pipeline's file also the fingerprints of the
adapter and of the block that it was folded from.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import safe_open
from torch import Tensor, nn

from perception.files import reading
from perception.frozen.block import BlockConfig, expect_size
from perception.frozen.folded import TAIL_LINEARS, BlockTail, FoldedAttention, FoldedBlock, attention_dtype
from perception.frozen.readout import LatentMap
from perception.frozen.weights import WeightsError, write_tensors
from perception.kernels.linear import InferenceLinear
from perception.kernels.precision import Precision, linear_of

PIPELINE, TAIL = "perception-folded-pipeline", "perception-folded-tail"
NORMS = {nn.Identity: "none", nn.RMSNorm: "rms", nn.LayerNorm: "layer"}
_CURE = "fold the adapter again"


@dataclass(frozen=True)
class _PipelineShape:
    """What the metadata of a pipeline's file says about its tensors.

    Attributes:
        dim: d.
        bias_in: Whether `project_in` has a bias.
        bias_out: Whether `project_out` has a bias.
        post_norm: One of `NORMS`.
        post_norm_eps: Epsilon of that norm; 0 without one.
        residual: Whether the tokens are added to the output.
    """

    dim: int
    bias_in: bool
    bias_out: bool
    post_norm: str
    post_norm_eps: float
    residual: bool

    def __post_init__(self) -> None:
        expect_size("dim", self.dim)
        flags = (self.bias_in, self.bias_out, self.residual)
        is_norm = self.post_norm in NORMS.values() and isinstance(self.post_norm_eps, float)
        if not all(isinstance(flag, bool) for flag in flags) or not (is_norm and 0 <= self.post_norm_eps < 1):
            raise WeightsError(f"expected the shape of a pipeline, found {reprlib.repr(asdict(self))}")


def save_folded(folded: FoldedBlock, folder: Path, name: str) -> Path:
    """Writes the pipeline's file and, unless it exists, the tail's; returns the path of the former.

    Raises:
        WeightsError: The folder cannot be written.
    """
    tail, attention = folded.tail, folded.attention
    tail_file = f"block-{tail.fingerprint[:12]}-{tail.precision}.safetensors"
    if not (folder / tail_file).exists():
        description = {"config": json.dumps(asdict(tail.config)), "fingerprint": tail.fingerprint}
        _write(folder / tail_file, tail.state_dict(), {"format": TAIL, "precision": tail.precision, **description})
    norm = folded.post_norm
    shape = _PipelineShape(
        dim=attention.project_in.in_features,
        bias_in=attention.project_in.bias is not None,
        bias_out=folded.project_out.bias is not None,
        post_norm=NORMS[type(norm)],
        post_norm_eps=getattr(norm, "eps", 0.0),
        residual=folded.residual,
    )
    described = json.dumps(asdict(shape))
    metadata = {"format": PIPELINE, "shape": described, "tail": tail_file, "fingerprint": folded.fingerprint}
    path = folder / f"{name}.safetensors"
    _write(path, _own(folded), {**metadata, "block": tail.fingerprint})
    return path


def load_folded(path: Path, tail: BlockTail | None = None) -> FoldedBlock:
    """Loads a pipeline that `save_folded` wrote.

    Args:
        path: Path of the pipeline's file.
        tail: Tail that is already loaded for another pipeline; by default the file beside it that it names.

    Raises:
        WeightsError: The file is of another kind, damaged, or folded from another block than `tail`.
    """
    with reading(path, _CURE, WeightsError):
        return _load_folded(path, tail)


def _load_folded(path: Path, tail: BlockTail | None) -> FoldedBlock:
    metadata, tensors = _read(path, PIPELINE)
    if tail is None:
        tail = load_tail(path.with_name(metadata["tail"]))
    if tail.fingerprint != metadata["block"]:
        raise WeightsError(
            f"{path}: it was folded from the block {metadata['block'][:12]}, but the tail is of "
            f"{tail.fingerprint[:12]}; load it with {metadata['tail']}"
        )
    shape, width = _PipelineShape(**json.loads(metadata["shape"])), tail.config.dim
    norms = {
        "none": nn.Identity(),
        "rms": nn.RMSNorm(width, shape.post_norm_eps, elementwise_affine=False),
        "layer": nn.LayerNorm(width, shape.post_norm_eps, elementwise_affine=False),
    }
    with torch.device("meta"):
        project_in = InferenceLinear(shape.dim, width, shape.bias_in)
        project_out = InferenceLinear(width, shape.dim, shape.bias_out)
    gram = tensors.get("attention.gram")
    to_latent = LatentMap(shape.bias_in, gram, width, tail.config.eps, tail.config.architecture == "opt")
    attention = FoldedAttention(
        tail.config, project_in, to_latent, *(tensors[f"attention.{name}"] for name in ("q", "k", "v"))
    )
    folded = FoldedBlock(attention, tail, norms[shape.post_norm], project_out, shape.residual, metadata["fingerprint"])
    _fill(path, folded, {**tensors, **{f"tail.{name}": value for name, value in tail.state_dict().items()}})
    attention.to(attention_dtype(tail.precision, attention.k.device))
    return folded.requires_grad_(False)


def load_tail(path: Path, precision: Precision | None = None) -> BlockTail:
    """Loads a tail, memory-mapped.

    Args:
        path: Path of the tail's file.
        precision: `int8_dynamic` for a file of `int8` weights, or the reverse; None uses the saved precision.

    Raises:
        WeightsError: The file is of another kind, damaged, or has weights that `precision` cannot use.
    """
    with reading(path, _CURE, WeightsError):
        return _load_tail(path, precision)


def _load_tail(path: Path, precision: Precision | None) -> BlockTail:
    metadata, tensors = _read(path, TAIL)
    saved = cast(Precision, metadata["precision"])
    precision = precision or saved
    if precision != saved and not (precision.startswith("int8") and saved.startswith("int8")):
        raise WeightsError(f"{path}: expected {precision} weights, found {saved}; fold the adapter in that precision")
    config = BlockConfig(**json.loads(metadata["config"]))
    linears = {
        name: linear_of(
            precision,
            tensors[f"block.{name}.weight"],
            tensors.get(f"block.{name}.scale"),
            tensors.get(f"block.{name}.bias"),
        )
        for name in TAIL_LINEARS
        if f"block.{name}.weight" in tensors
    }
    norms = None
    if not config.pre_norm:
        norms = (nn.LayerNorm(config.dim, config.eps), nn.LayerNorm(config.dim, config.eps))
    tail = BlockTail(config, metadata["fingerprint"], precision, linears, norms)
    _fill(path, tail, tensors)
    return tail.requires_grad_(False)


def _own(folded: FoldedBlock) -> dict[str, Tensor]:
    return {name: value for name, value in folded.state_dict().items() if not name.startswith("tail.")}


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_tensors(path, whole, {**metadata, "digest": _digest(whole)})


def _read(path: Path, kind: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    with reading(path, _CURE, WeightsError), safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # maps the file
    if metadata.get("format") != kind:
        raise WeightsError(f"{path}: expected a {kind} file, got format {metadata.get('format')!r}")
    digest = _digest(tensors)
    if digest != metadata["digest"]:
        raise WeightsError(
            f"{path}: its tensors have changed since it was written: expected digest {metadata['digest'][:12]}, "
            f"got {digest[:12]}; fold the adapter again"
        )
    return metadata, tensors


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 of names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _fill(path: Path, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    try:
        module.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        raise WeightsError(f"{path}: its tensors do not fit its metadata ({error}); fold the adapter again") from error
