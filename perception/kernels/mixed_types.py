"""Products of values in two floating-point types: activations in float32 with frozen weights in bfloat16."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_ON_CPU = torch.cpu._is_avx512_bf16_supported()  # asked once: compilers cannot trace the question


def mixed_product(
    first: Float[Tensor, "... between"], second: Float[Tensor, "... between columns"]
) -> Float[Tensor, "... columns"]:
    """Computes `first·second` in the wider of their types; leading axes as in `torch.matmul`.

    If the types differ, and the device multiplies bfloat16 faster than float32, both factors and the result are rounded
    to bfloat16; sums are in float32. On other devices the narrower factor is widened. Gradients likewise.
    """
    if first.dtype == second.dtype or torch.is_autocast_enabled(first.device.type):
        return first @ second
    wide = torch.promote_types(first.dtype, second.dtype)
    is_narrow = torch.bfloat16 in (first.dtype, second.dtype) and has_bfloat16_products(first.device)
    common = torch.bfloat16 if is_narrow else wide
    return (first.to(common) @ second.to(common)).to(wide)


def has_bfloat16_products(device: torch.device) -> bool:
    """Returns whether the device multiplies bfloat16 faster than float32."""
    if device.type == "cpu":
        return _ON_CPU
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
