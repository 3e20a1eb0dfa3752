"""Precisions of an exported block's weights. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from perception.errors import InputError

ExportPrecision = Literal["float32", "bf16", "fp16", "int8", "int4"]
"""`bf16` and `fp16` store the tail's weights so, and multiply in float32 unless the runtime is told otherwise; `int8`
has a scale for each output and scales activations in every call; `int4` has a scale for each 32 weights."""
EXPORTED: Mapping[str, ExportPrecision] = {"float32": "float32", "bfloat16": "bf16", "int8_dynamic": "int8"}
"""Precision of a node → that of the exported file."""


def exported_precision(precision: str) -> ExportPrecision:
    """The precision of the exported file of a node's.

    Raises:
        InputError: No file has it.
    """
    if precision not in EXPORTED:
        raise InputError(
            f"precision {precision}: exported models have {', '.join(EXPORTED)}; give one of them, or backend torch"
        )
    return EXPORTED[precision]
