"""Linear layers for inference whose weights are kept narrower than float32.

What serving one frame costs is mostly the reading of weights, so half or a quarter of the bytes is most of the gain;
the arithmetic follows what the processor has. No kernel here is our own: they are PyTorch's.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import BFloat16, Float, Float32, Int8, Shaped
from torch import Tensor, nn

from perception.kernels.products import rows_times

Precision = Literal["float32", "bfloat16", "int8", "int8_dynamic"]
"""Of weights, and for `int8_dynamic` of the activations that meet them too, scaled anew in every call."""

FEW_ROWS = 8
"""Up to here PyTorch's kernels that widen weights one by one are faster than widening a slice and multiplying."""
INT8_KERNEL_BYTES = 16
"""PyTorch's kernel of int8 weights for few rows reads them so many at a time, from addresses that are multiples of it:
with AVX-512 other weights end the process (PyTorch 2.13)."""
SLICE_ROWS = 256
"""Rows of a weight that are widened at once: 4 MB of a LLaMA-7B matrix in float32, which a processor's cache holds."""


def with_precision(linear: nn.Linear, precision: Precision) -> nn.Module:
    """A float32 layer's map, its weights kept as `precision` says."""
    weight, scale = linear.weight.detach(), None
    if precision == "bfloat16":
        weight = weight.bfloat16()
    elif precision != "float32":
        weight, scale = quantize(weight)
    return linear_of(precision, weight, scale, None if linear.bias is None else linear.bias.detach())


def linear_of(
    precision: Precision,
    weight: Shaped[Tensor, "out_dim in_dim"],
    scale: Float32[Tensor, " out_dim"] | None,
    bias: Float32[Tensor, " out_dim"] | None,
) -> nn.Module:
    """The layer around weights that have their precision already; they are kept, not copied."""
    if precision == "float32":
        return Float32Linear(weight, bias)
    if precision == "bfloat16":
        return Bfloat16Linear(weight, bias)
    assert scale is not None
    return (Int8Linear if precision == "int8" else DynamicInt8Linear)(weight, scale, bias)


def quantize(
    weight: Float[Tensor, "out_dim in_dim"],
) -> tuple[Int8[Tensor, "out_dim in_dim"], Float32[Tensor, " out_dim"]]:
    """A weight as int8 and one scale for each output, symmetric: weight ≈ int8 · scale."""
    scale = weight.abs().amax(dim=1).float().clamp_min(torch.finfo(torch.float32).tiny) / 127
    return (weight / scale.unsqueeze(1)).round().to(torch.int8), scale


class Float32Linear(nn.Module):
    """Weights in float32.

    Args:
        weight: Kept as it is, not copied.
        bias: Added to the outputs.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Float32[Tensor, "out_dim in_dim"], bias: Float32[Tensor, " out_dim"] | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: Float[Tensor, "*rows in_dim"]) -> Float[Tensor, "*rows out_dim"]:
        """The map."""
        return rows_times(x, self.weight, self.bias)


class Bfloat16Linear(nn.Module):
    """Weights in bfloat16; products in bfloat16 where the device has them, otherwise in float32.

    Args:
        weight: Kept as it is, not copied.
        bias: In float32.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: BFloat16[Tensor, "out_dim in_dim"], bias: Float32[Tensor, " out_dim"] | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: Float[Tensor, "*rows in_dim"]) -> Float[Tensor, "*rows out_dim"]:
        """The map, in the type of x."""
        if has_bfloat16_products(x.device):
            out = F.linear(x.bfloat16(), self.weight).to(x.dtype)
        else:
            out = _widened(x, self.weight)
        return out if self.bias is None else out + self.bias.to(x.dtype)


class Int8Linear(nn.Module):
    """Weights in int8 with one scale an output; activations stay as they are.

    Args:
        weight: Kept as it is, not copied.
        scale: Of each output.
        bias: In float32.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(
        self,
        weight: Int8[Tensor, "out_dim in_dim"],
        scale: Float32[Tensor, " out_dim"],
        bias: Float32[Tensor, " out_dim"] | None,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    def forward(self, x: Float[Tensor, "*rows in_dim"]) -> Float[Tensor, "*rows out_dim"]:
        """The map, in the type of x."""
        rows = x.flatten(0, -2)
        if x.device.type == "cpu" and len(rows) <= FEW_ROWS and self._fits_kernel():
            out = torch.ops.aten._weight_int8pack_mm(rows.bfloat16(), self.weight, self.scale.bfloat16()).to(x.dtype)
        else:
            out = _widened(rows, self.weight) * self.scale.to(x.dtype)
        out = out.unflatten(0, x.shape[:-1])
        return out if self.bias is None else out + self.bias.to(x.dtype)

    def _fits_kernel(self) -> bool:
        return self.weight.shape[1] % INT8_KERNEL_BYTES == 0 and self.weight.data_ptr() % INT8_KERNEL_BYTES == 0


class DynamicInt8Linear(Int8Linear):
    """Weights and activations in int8, the latter scaled by each call's largest: the fastest for a CPU.

    On a processor without VNNI activations get 7 bits, so that its 16-bit sums of two products cannot overflow. The
    kernel (FBGEMM's: for up to 64 rows of a LLaMA-7B block up to twice as fast as oneDNN's, on Zen 3) wants weights in
    an order of its own: they are packed, which copies them, when they are first used.
    """

    _packed: Any = None

    def forward(self, x: Float[Tensor, "*rows in_dim"]) -> Float[Tensor, "*rows out_dim"]:
        """The map, in the type of x. On devices other than a CPU activations stay as they are."""
        if x.device.type != "cpu":
            return super().forward(x)
        if self._packed is None:
            self._packed = self._pack()
        return torch.ops.quantized.linear_dynamic(x.float(), self._packed, reduce_range=not has_vnni()).to(x.dtype)

    def _pack(self) -> Any:
        with warnings.catch_warnings():  # PyTorch 2.13 calls quantized tensors deprecated, and has no other way to here
            warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")
            zero_points = torch.zeros(len(self.scale), dtype=torch.long)
            weight = torch.ops.aten._make_per_channel_quantized_tensor(self.weight, self.scale.double(), zero_points, 0)
            return torch.ops.quantized.linear_prepack(weight, self.bias)


def has_bfloat16_products(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def has_vnni() -> bool:
    """Whether this processor sums int8 products in 32 bits."""
    return torch.cpu._is_vnni_supported()


def _widened(x: Float[Tensor, "*rows in_dim"], weight: Tensor) -> Float[Tensor, "*rows out_dim"]:
    """x·weightᵀ, the weight widened slice by slice so that it crosses the memory bus narrow."""
    return torch.cat([F.linear(x, part.to(x.dtype)) for part in weight.split(SLICE_ROWS)], dim=-1)
