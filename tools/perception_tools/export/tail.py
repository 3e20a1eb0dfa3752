"""A block's tail as a graph of its own: what the block service computes for all of its pipelines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from perception.batches import TensorRecord
from perception.errors import InputError
from perception.frozen.folded import BlockTail
from perception_nodes.exported.model_file import SUFFIX, open_exported
from perception_nodes.exported.runtimes import open_runtime
from perception_tools.export.exportable import Exportable
from perception_tools.export.graph import GraphSource, trace
from perception_tools.export.narrowing import name_tail, narrow, weights_of
from perception_tools.export.onnx_file import files_beside
from perception_tools.export.parity import check
from perception_tools.export.precisions import ExportPrecision


@dataclass(frozen=True)
class TailRows(TensorRecord):
    """What a tail reads of each row.

    Attributes:
        residual: The residual stream before it.
        attended: Output of the attention.
    """

    residual: Float[Tensor, "rows width"]
    attended: Float[Tensor, "rows inner"]


def exported_tail(tail: BlockTail, folder: Path, precision: ExportPrecision = "float32") -> Path:
    """The file of a tail in a precision, made and checked where there is none.

    Args:
        tail: A tail in float32.
        folder: Folder of the folded pipelines around it; files go into its `exported`.
        precision: Precision of the weights.

    Raises:
        InputError: The tail has another precision, or cannot be exported.
        ParityError: The file's answers are not the tail's.
    """
    if tail.precision != "float32":
        raise InputError(
            f"{folder}: expected a folder of float32 to be narrowed by another backend, found {tail.precision}; fold "
            "again with --precision float32"
        )
    out = folder / "exported" / f"block-{tail.fingerprint[:12]}-{precision}{SUFFIX}"
    if out.exists() and _is_of(out, tail):
        return out
    weights = weights_of(tail)
    inner, width = weights["o"].shape

    def rows(count: int) -> TailRows:
        generator = torch.Generator().manual_seed(count)
        return TailRows(*(torch.randn(count, dim, generator=generator) for dim in (width, inner)))

    source = GraphSource(tail, lambda tail, batch: tail(batch.residual, batch.attended), output_name="hidden")
    cases = {"some rows": rows(33), "one row": rows(1)}
    proto = trace(source, cases["some rows"])
    proto = narrow(proto, name_tail(proto, weights), precision)
    metadata = {"task": "block", "name": "tail", "fingerprint": tail.fingerprint, "precision": precision}
    with files_beside(out, proto, metadata) as written:
        parts = Exportable(source, lambda: cases, ("some rows",), metadata, lambda runtime: runtime)
        check(parts, cases, open_runtime(written[-1], "onnxruntime"), precision)
    return out


def _is_of(file: Path, tail: BlockTail) -> bool:
    try:
        return open_exported(file).metadata.get("fingerprint") == tail.fingerprint
    except InputError:
        return False  # damaged, or its weights are gone
