"""Linear layers for inference with weights narrower than float32.

Serving a frame is mostly bound by reading weights, so most of the gain comes from storing half or a quarter of the
bytes; the arithmetic depends on the processor. All kernels are PyTorch's.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import BFloat16, Float, Float32, Int8, Shaped
from torch import Tensor, nn

from perception.kernels.mixed_types import has_bfloat16_products
from perception.kernels.products import rows_times

Precision = Literal["float32", "bfloat16", "int8", "int8_dynamic"]
"""Type of the weights; `int8_dynamic` also converts the activations, with a new scale in every call."""

FEW_ROWS = 8
"""Maximum number of rows for which PyTorch's int8 kernel is faster than widening slices of the weight."""
INT8_KERNEL_BYTES = 16
"""PyTorch's int8 kernel for few rows reads this many bytes at once, from aligned addresses. With AVX-512 it crashes the
process for other weights (PyTorch 2.13)."""
SLICE_ROWS = 256
"""Rows of a weight that are widened at once: 4 MB in float32 for LLaMA-7B, which fit into a processor's cache."""


def with_precision(linear: nn.Linear, precision: Precision) -> nn.Module:
    """Returns a layer that computes the same map as a float32 layer, with weights of another precision."""
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
    """Returns a layer around weights that already have the precision; they are not copied."""
    if precision == "float32":
        return Float32Linear(weight, bias)
    if precision == "bfloat16":
        return Bfloat16Linear(weight, bias)
    assert scale is not None
    return (Int8Linear if precision == "int8" else DynamicInt8Linear)(weight, scale, bias)


def quantize(
    weight: Float[Tensor, "out_dim in_dim"],
) -> tuple[Int8[Tensor, "out_dim in_dim"], Float32[Tensor, " out_dim"]]:
    """Quantises a weight symmetrically to int8 with a scale per output: weight ≈ int8 · scale."""
    scale = weight.abs().amax(dim=1).float().clamp_min(torch.finfo(torch.float32).tiny) / 127
    return (weight / scale.unsqueeze(1)).round().to(torch.int8), scale


class Float32Linear(nn.Module):
    """A linear layer with weights in float32.

    Args:
        weight: Weight; it is not copied.
        bias: Bias.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Float32[Tensor, "out_dim in_dim"], bias: Float32[Tensor, " out_dim"] | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: Float[Tensor, "*rows in_dim"]) -> Float[Tensor, "*rows out_dim"]:
        """Returns x·weightᵀ + bias."""
        return rows_times(x, self.weight, self.bias)


class Bfloat16Linear(nn.Module):
    """A linear layer with weights in bfloat16, and products in bfloat16 if the device supports them, else in float32.

    Args:
        weight: Weight; it is not copied.
        bias: Bias in float32.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: BFloat16[Tensor, "out_dim in_dim"], bias: Float32[Tensor, " out_dim"] | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: Float[Tensor, "*rows in_dim"]) -> Float[Tensor, "*rows out_dim"]:
        """Returns x·weightᵀ + bias in the type of x."""
        if has_bfloat16_products(x.device):
            out = F.linear(x.bfloat16(), self.weight).to(x.dtype)
        else:
            out = _widened(x, self.weight)
        return out if self.bias is None else out + self.bias.to(x.dtype)


class Int8Linear(nn.Module):
    """A linear layer with weights in int8, a scale per output, and activations in their own type.

    Args:
        weight: Weight without its scale; it is not copied.
        scale: Scale of each output.
        bias: Bias in float32.
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
        """Returns x·weightᵀ·scale + bias in the type of x."""
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
    """A linear layer with weights and activations in int8, the fastest on a CPU.

    Activations are scaled by the largest value of each call. On a processor without VNNI they get 7 bits, so that its
    16-bit sums of two products cannot overflow. The kernel is FBGEMM's, which for up to 64 rows of a LLaMA-7B block is
    up to twice as fast as oneDNN's on Zen 3. It needs packed weights: they are copied when they are first used.
    """

    _packed: Any = None

    def forward(self, x: Float[Tensor, "*rows in_dim"]) -> Float[Tensor, "*rows out_dim"]:
        """Returns x·weightᵀ·scale + bias in the type of x. Other devices than a CPU do not quantise activations."""
        if x.device.type != "cpu":
            return super().forward(x)
        if self._packed is None:
            self._packed = self._pack()
        return torch.ops.quantized.linear_dynamic(x.float(), self._packed, reduce_range=not has_vnni()).to(x.dtype)

    def _pack(self) -> Any:
        with warnings.catch_warnings():  # deprecated in PyTorch 2.13 without a replacement
            warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")
            zero_points = torch.zeros(len(self.scale), dtype=torch.long)
            weight = torch.ops.aten._make_per_channel_quantized_tensor(self.weight, self.scale.double(), zero_points, 0)
            return torch.ops.quantized.linear_prepack(weight, self.bias)


def has_vnni() -> bool:
    """Returns whether this processor sums int8 products in 32 bits."""
    return torch.cpu._is_vnni_supported()


def _widened(x: Float[Tensor, "*rows in_dim"], weight: Tensor) -> Float[Tensor, "*rows out_dim"]:
    """Returns x·weightᵀ, widening the weight slice by slice so that it is read from memory in its narrow type."""
    return torch.cat([F.linear(x, part.to(x.dtype)) for part in weight.split(SLICE_ROWS)], dim=-1)
