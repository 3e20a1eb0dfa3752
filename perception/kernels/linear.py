"""Float32 products by the fastest kernel that PyTorch contains for the device.

On x86 PyTorch computes float32 products with MKL, which uses only half of AVX-512's width on AMD processors: 115
GFLOP/s per core on Zen 5. oneDNN, which PyTorch contains too and `torch.compile` uses, reaches 250; on Zen 4, whose
AVX-512 is half as wide, 105 against 95. All linear layers can use it in inference (`for_inference`), frozen weights and
`FastLinear` also in training (`fast_linear`). On other devices and processors, and for other types, PyTorch's own
kernels are used.
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
"""oneDNN compiles a kernel for every new number of rows, which takes 0.3 ms. The number changes with every frame of a
stream, so beyond this number rows are padded to a multiple of it, for which few kernels suffice."""
FEW_ROWS = 1024
"""Beyond this number of rows, the copy that padding needs costs more than it saves."""

Module = TypeVar("Module", bound=nn.Module)


def inference_linear(
    x: Float[Tensor, "*rows in_dim"],
    weight: Float[Tensor, "out_dim in_dim"],
    bias: Float[Tensor, " out_dim"] | None = None,
) -> Float[Tensor, "*rows out_dim"]:
    """Computes `x·weightᵀ + bias` by the fastest kernel if gradients are disabled, otherwise by `F.linear`."""
    if not torch.is_grad_enabled() and suits_onednn(x, weight):
        return onednn_linear(x, weight, bias)
    return F.linear(x, weight, bias)


def inference_linear_gelu(
    x: Float[Tensor, "*rows in_dim"], weight: Float[Tensor, "out_dim in_dim"], bias: Float[Tensor, " out_dim"]
) -> Float[Tensor, "*rows out_dim"]:
    """Computes `gelu(x·weightᵀ + bias)`, in one pass over the output if gradients are disabled."""
    if not torch.is_grad_enabled() and not torch.compiler.is_compiling() and suits_onednn(x, weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "gelu", [], "none")
    return F.gelu(fast_linear(x, weight, bias))


def suits_onednn(x: Tensor, weight: Tensor) -> bool:
    """Returns whether oneDNN's kernel can compute `x·weightᵀ` and is faster; False for shapes that do not fit."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_exporting()
        and not _is_transformed()
        and x.numel() > 0
        and x.shape[-1] == weight.shape[-1]
    )


def _is_transformed() -> bool:
    """Returns whether `torch.func` transforms the caller; it has no rules for these kernels."""
    return torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore[reportAttributeAccessIssue]


def onednn_linear(
    x: Float[Tensor, "*rows in_dim"], weight: Float[Tensor, "out_dim in_dim"], bias: Float[Tensor, " out_dim"] | None
) -> Float[Tensor, "*rows out_dim"]:
    """Computes `x·weightᵀ + bias` by oneDNN if `suits_onednn`; weights are not copied, so processes can share them."""
    rows = x.reshape(-1, x.shape[-1])
    count = rows.shape[0]
    if ROW_STEP < count <= FEW_ROWS:
        rows = F.pad(rows, (0, 0, 0, -count % ROW_STEP))
    out = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return out[:count].reshape(*x.shape[:-1], len(weight))


class _Product(torch.autograd.Function):
    """`x·weightᵀ + bias`; both products with the weight by oneDNN, the weight's gradient by PyTorch's kernel."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return onednn_linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:  # noqa: ARG004
        x, weight, _ = inputs
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows = grad.reshape(-1, grad.shape[-1])
        return (
            onednn_linear(grad, weight.mT, None) if of_x else None,
            rows.mT @ x.reshape(-1, x.shape[-1]) if of_weight else None,
            rows.sum(0) if of_bias else None,
        )


def fast_linear(
    x: Float[Tensor, "*rows in_dim"],
    weight: Float[Tensor, "out_dim in_dim"],
    bias: Float[Tensor, " out_dim"] | None = None,
) -> Float[Tensor, "*rows out_dim"]:
    """Computes `x·weightᵀ + bias` by the fastest kernel, in training too; a compiler is left to choose its own.

    Where oneDNN computes it, its gradients cannot be differentiated again.
    """
    if not torch.compiler.is_compiling() and suits_onednn(x, weight):
        return _Product.apply(x, weight, bias)  # pyright: ignore[reportReturnType]
    return F.linear(x, weight, bias)


class FastLinear(nn.Linear):
    """A linear layer that uses `fast_linear`; for layers that see many rows."""

    @override
    def forward(self, input: Float[Tensor, "*rows in_dim"]) -> Float[Tensor, "*rows out_dim"]:
        """Returns x·weightᵀ + bias."""
        return fast_linear(input, self.weight, self.bias)


class InferenceLinear(nn.Linear):
    """A linear layer that uses the fastest kernel if gradients are disabled."""

    @override
    def forward(self, input: Float[Tensor, "*rows in_dim"]) -> Float[Tensor, "*rows out_dim"]:
        """Returns x·weightᵀ + bias."""
        return inference_linear(input, self.weight, self.bias)


def for_inference(module: Module) -> Module:
    """Returns the module with every linear layer as `InferenceLinear`; parameters and buffers are shared."""
    return with_linears(module, InferenceLinear)


def with_linears(module: Module, kind: type[nn.Linear]) -> Module:
    """Returns the module with every linear layer, including subclasses of it, as another class; see `for_inference`."""
    made = copy.copy(module)
    if isinstance(module, nn.Linear):
        made.__class__ = kind  # pyright: ignore[reportAttributeAccessIssue]
    children = module._modules.items()
    made._modules = {name: None if child is None else with_linears(child, kind) for name, child in children}
    return made
