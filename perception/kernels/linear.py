"""Float32 products with weights that are not trained, by the fastest kernel that PyTorch brings for the device.

On x86 PyTorch hands float32 products to MKL, which on AMD's processors leaves half of AVX-512's width unused: 115
GFLOP/s a core on Zen 5, where oneDNN, which PyTorch brings too and `torch.compile` calls, reaches 250. In inference all
linear layers may take it (`for_inference`); in training it has gradients for frozen weights only (`frozen_linear`).
On other devices and processors, and for other types, everything here is PyTorch's own way.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

ROW_STEP = 16
"""oneDNN writes a kernel for every number of rows, 0.3 ms each time. In a stream that is another one in every frame, so
beyond the first multiple of this rows are filled up to one: few numbers, and all are soon known."""
FEW_ROWS = 1024
"""Beyond so many, to copy them in order to fill them up costs more than it saves."""

Module = TypeVar("Module", bound=nn.Module)


def inference_linear(
    x: Float[Tensor, "*rows in_dim"],
    weight: Float[Tensor, "out_dim in_dim"],
    bias: Float[Tensor, " out_dim"] | None = None,
) -> Float[Tensor, "*rows out_dim"]:
    """`x·weightᵀ + bias` by the fastest kernel, where no gradient is wanted; as `F.linear` elsewhere."""
    return (onednn_linear if suits_onednn(x, weight) else F.linear)(x, weight, bias)


def suits_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether no gradient is wanted, and oneDNN's kernel is the faster one."""
    return not torch.is_grad_enabled() and onednn_is_faster(x, weight)


def onednn_is_faster(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN's kernel takes this product, and is the faster one; PyTorch's own says better what is wrong."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
        and x.numel() > 0
        and x.shape[-1] == weight.shape[-1]
    )


def onednn_linear(
    x: Float[Tensor, "*rows in_dim"], weight: Float[Tensor, "out_dim in_dim"], bias: Float[Tensor, " out_dim"] | None
) -> Float[Tensor, "*rows out_dim"]:
    """`x·weightᵀ + bias` where `suits_onednn`; weights are used as they lie, so that processes can share them."""
    rows = x.reshape(-1, x.shape[-1])
    count = rows.shape[0]
    if ROW_STEP < count <= FEW_ROWS:
        rows = F.pad(rows, (0, 0, 0, -count % ROW_STEP))
    out = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return out[:count].reshape(*x.shape[:-1], len(weight))


class _FrozenProduct(torch.autograd.Function):
    """`x·weightᵀ` by oneDNN, in both directions; the weight gets no gradient."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        return onednn_linear(x, weight, None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(inputs[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (weight,) = ctx.saved_tensors
        return onednn_linear(grad, weight.mT, None), None


def suits_frozen(x: Tensor, weight: Tensor) -> bool:
    """Whether `frozen_linear` takes this product: eagerly, of a weight that is not trained, where it is faster."""
    trained = weight.requires_grad and torch.is_grad_enabled()
    return not trained and not torch.compiler.is_compiling() and onednn_is_faster(x, weight)


def frozen_linear(
    x: Float[Tensor, "*rows in_dim"], weight: Float[Tensor, "out_dim in_dim"]
) -> Float[Tensor, "*rows out_dim"]:
    """`x·weightᵀ` where `suits_frozen`; differentiable once in x."""
    return _FrozenProduct.apply(x, weight)  # pyright: ignore[reportReturnType]


class InferenceLinear(nn.Linear):
    """A linear layer that takes the fastest kernel wherever no gradient is wanted."""

    @override
    def forward(self, input: Float[Tensor, "*rows in_dim"]) -> Float[Tensor, "*rows out_dim"]:
        """The map."""
        return inference_linear(input, self.weight, self.bias)


def for_inference(module: Module) -> Module:
    """The same module with `InferenceLinear` for every linear layer; parameters and buffers are shared, not copied."""
    return with_linears(module, InferenceLinear)


def with_linears(module: Module, kind: type[nn.Linear]) -> Module:
    """The same module with every linear layer of one kind, also those that go another way to the same map."""
    made = copy.copy(module)
    if isinstance(module, nn.Linear):
        made.__class__ = kind  # pyright: ignore[reportAttributeAccessIssue]
    children = module._modules.items()
    made._modules = {name: None if child is None else with_linears(child, kind) for name, child in children}
    return made
