from __future__ import annotations

import copy
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.block import EVERY_ROW, BlockConfig, LlamaBlock, OptBlock, RMSNorm
from perception.frozen.readout import read_rows
from perception.frozen.readout_cost import Regime
from perception.tokens import Readout, Tokens

few = settings(deadline=None, max_examples=25)
regimes = pytest.mark.parametrize("regime", get_args(Regime))
LLAMA = BlockConfig("llama", 32, 8, 2, 48, 1e-5)
OPT = BlockConfig("opt", 32, 4, 4, 48, 1e-5)
POST_LN = BlockConfig("opt", 32, 4, 4, 48, 1e-5, pre_norm=False)


@dataclass
class Case:
    """A block behind its projection, with tokens and the rows to read."""

    block: LlamaBlock | OptBlock
    project_in: nn.Linear
    tokens: Tokens
    readout: Readout

    def to(self, dtype: torch.dtype) -> Case:
        tokens = self.tokens.replace(self.tokens.values.to(dtype))
        return Case(self.block.to(dtype), self.project_in.to(dtype), tokens, self.readout)

    def plain(self) -> Tensor:
        return self.block(self.project_in(self.tokens.values), self.tokens.valid, self.readout)

    def read(self, regime: Regime | None) -> Tensor:
        return read_rows(self.block, self.project_in, self.tokens, self.readout, regime)

    def inputs(self) -> list[Tensor]:
        """Everything that may get a gradient: tokens, projection, block."""
        return [self.tokens.values, *self.project_in.parameters(), *self.block.parameters()]


def make_case(
    config: BlockConfig,
    *,
    dim: int = 6,
    bias: bool = False,
    batch: int = 2,
    tokens: int = 7,
    rows: int | None = 3,
    seed: int = 0,
) -> Case:
    """A float64 case with random weights, norms and biases included; some rows and some or all tokens are padding."""
    torch.manual_seed(seed)
    block, project_in = config.build().double(), nn.Linear(dim, config.dim, bias).double()
    for parameter in [*block.parameters(), *project_in.parameters()]:
        nn.init.normal_(parameter, std=0.3)
    values = torch.randn(batch, tokens, dim, dtype=torch.float64, requires_grad=True)
    readout = EVERY_ROW
    if rows is not None:
        readout = Readout(torch.randint(tokens, (batch, rows)), torch.rand(batch, rows) < 0.8)
    return Case(block, project_in, Tokens(values, torch.rand(batch, tokens) < 0.6), readout)


@st.composite
def configs(draw: st.DrawFn) -> BlockConfig:
    """Small blocks of every architecture, grouped-query heads included."""
    kv_heads, group, head_dim = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 5))
    heads, ffn_dim = kv_heads * group, draw(st.integers(1, 12))
    if draw(st.booleans()):
        return BlockConfig("llama", heads * head_dim, heads, kv_heads, ffn_dim, 1e-5)
    return BlockConfig("opt", heads * head_dim, heads, heads, ffn_dim, 1e-5, pre_norm=draw(st.booleans()))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any block, projection, padding and rows: none to all tokens valid; all rows, or repeated and unsorted ones."""
    return make_case(
        draw(configs()),
        dim=draw(st.integers(1, 12)),
        bias=draw(st.booleans()),
        batch=draw(st.integers(1, 3)),
        tokens=draw(st.integers(1, 9)),
        rows=draw(st.none() | st.integers(1, 10)),
        seed=draw(st.integers(0, 99)),
    )


def make_adapter(case: Case, regime: Regime | None) -> FrozenBlockAdapter:
    """The case's block, frozen, between two projections."""
    width, dim = case.project_in.weight.shape
    post_norm, project_out = RMSNorm(width, 1e-5).requires_grad_(False), nn.Linear(width, dim)
    block = case.block.requires_grad_(False)
    adapter = FrozenBlockAdapter(case.project_in, [block], post_norm, project_out).to(case.tokens.values.dtype)
    adapter.regime = regime
    return adapter


def assert_same(ours: Tensor, plain: Tensor, tolerance: float) -> None:
    assert ours.isfinite().all()
    assert ours.dtype is plain.dtype
    scale = plain.abs().max().clamp_min(1.0).item()
    torch.testing.assert_close(ours, plain, rtol=0, atol=tolerance * scale)


def assert_same_gradients(case: Case, ours: Tensor, plain: Tensor, tolerance: float) -> None:
    weight = torch.randn_like(plain)
    ours_gradients = torch.autograd.grad((ours * weight).sum(), case.inputs())
    plain_gradients = torch.autograd.grad((plain * weight).sum(), case.inputs())
    for ours_gradient, plain_gradient in zip(ours_gradients, plain_gradients, strict=True):
        assert_same(ours_gradient, plain_gradient, tolerance)


@regimes
@few
@given(case=cases())
def test_float64_values_and_all_gradients_are_the_plain_blocks(regime: Regime, case: Case) -> None:
    ours, plain = case.read(regime), case.plain()
    assert_same(ours, plain, 1e-10)
    assert_same_gradients(case, ours, plain, 1e-10)


@regimes
@pytest.mark.parametrize("config", [LLAMA, OPT, POST_LN], ids=str)
def test_float32_equals_the_plain_block_to_its_rounding(regime: Regime, config: BlockConfig) -> None:
    case = make_case(config, dim=16, bias=True, batch=3, tokens=20).to(torch.float32)
    ours, plain = case.read(regime), case.plain()
    assert_same(ours, plain, 1e-5)
    assert_same_gradients(case, ours, plain, 1e-5)


@regimes
@pytest.mark.parametrize("mode", ["weights", "autocast"])
@pytest.mark.parametrize("config", [LLAMA, OPT, POST_LN], ids=str)
def test_bfloat16_is_no_further_from_the_exact_values_than_the_plain_block(
    regime: Regime, mode: str, config: BlockConfig
) -> None:
    exact = make_case(config, dim=16, bias=True, batch=16, tokens=20)
    half = copy.deepcopy(exact).to(torch.bfloat16 if mode == "weights" else torch.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
        errors = [results_apart(half, ours, exact, exact.plain()) for ours in (half.read(regime), half.plain())]
    for ours, plain in zip(*errors, strict=True):
        assert ours < 1.5 * plain + 1e-3


def results_apart(case: Case, out: Tensor, exact_case: Case, exact_out: Tensor) -> list[float]:
    """Relative distances of an output and its gradients from the exact ones."""
    results = [out, *torch.autograd.grad(out.float().sin().sum(), case.inputs())]
    exact = [exact_out, *torch.autograd.grad(exact_out.sin().sum(), exact_case.inputs())]
    return [((a.double() - b).norm() / b.norm()).item() for a, b in zip(results, exact, strict=True)]


@pytest.mark.parametrize("regime", ["absorbed", "folded"])
def test_gradcheck_accepts_the_whole_adapter(regime: Regime) -> None:
    case = make_case(BlockConfig("llama", 4, 2, 1, 3, 1e-5), dim=3, bias=True, tokens=4, rows=2)
    adapter = make_adapter(case, regime)
    names = [name for name, parameter in adapter.named_parameters() if parameter.requires_grad]

    def evaluate(values: Tensor, *parameters: Tensor) -> Tensor:
        arguments = (case.tokens.replace(values), case.readout)
        return torch.func.functional_call(adapter, dict(zip(names, parameters, strict=True)), arguments)

    assert torch.autograd.gradcheck(evaluate, (case.tokens.values, *(adapter.get_parameter(n) for n in names)))


@regimes
def test_frozen_blocks_get_no_gradient_buffers_and_everything_else_does(regime: Regime) -> None:
    case = make_case(LLAMA, bias=True)
    adapter = make_adapter(case, regime)
    adapter(case.tokens, case.readout).square().sum().backward()
    without = {name for name, parameter in adapter.named_parameters() if parameter.grad is None}
    assert without == {f"blocks.0.{name}" for name, _ in case.block.named_parameters()} | {"post_norm.weight"}


@few
@given(case=cases(), order=st.randoms(use_true_random=False))
def test_order_of_tokens_and_values_of_padding_do_not_matter(case: Case, order: Any) -> None:
    values, valid, readout = case.tokens.values.detach(), case.tokens.valid, Readout.first(case.tokens)
    moved = torch.tensor([0, *order.sample(range(1, values.shape[1]), values.shape[1] - 1)])
    other = values.where(valid.unsqueeze(-1), 7.0)
    other[:, 0] = values[:, 0]
    for regime in get_args(Regime):
        expected = read_rows(case.block, case.project_in, Tokens(values, valid), readout, regime)
        tokens = Tokens(other[:, moved], valid[:, moved])
        assert_same(read_rows(case.block, case.project_in, tokens, readout, regime), expected, 1e-10)


@pytest.mark.parametrize("regime", ["absorbed", "folded"])
def test_tokens_that_the_projection_cancels_are_finite(regime: Regime) -> None:
    """z·(W1ᵀ·W1)·zᵀ is then rounding noise around zero, which may be further below zero than eps is above it."""
    case = make_case(LLAMA, dim=8, batch=1, tokens=200).to(torch.float32)
    cancelling = torch.cat([torch.randn(7), torch.ones(1)])
    with torch.no_grad():
        weight = case.project_in.weight
        weight[:, 7] = -weight[:, :7] @ cancelling[:7]
    case.tokens = case.tokens.replace((1e3 * torch.rand(1, 200, 1) * cancelling).requires_grad_())
    out = case.read(regime)
    assert out.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(out.sum(), case.inputs()))


@pytest.mark.parametrize("regime", ["absorbed", "folded"])
def test_squares_that_overflow_float16_do_not_matter(regime: Regime) -> None:
    case = make_case(LLAMA, dim=16)
    case.tokens = case.tokens.replace(case.tokens.values * 300)
    exact, half = case.plain(), copy.deepcopy(case.project_in).half()(case.tokens.values.half())
    assert half.isfinite().all()
    assert half.square().isinf().any()
    assert_same(case.to(torch.float16).read(regime).double(), exact, 1e-2)


@regimes
@pytest.mark.parametrize("config", [LLAMA, OPT, POST_LN], ids=str)
def test_several_blocks_equal_the_plain_ones_one_after_another(regime: Regime, config: BlockConfig) -> None:
    case, other = make_case(config), make_case(config, seed=1)
    adapter = make_adapter(case, regime)
    adapter.blocks.append(other.block)
    ours = adapter(case.tokens, case.readout)
    x = other.block(case.block(case.project_in(case.tokens.values), case.tokens.valid), case.tokens.valid, case.readout)
    assert_same(ours, adapter.project_out(adapter.post_norm(x)), 1e-10)


class WidestTensor(TorchDispatchMode):
    """Records the number of elements of the largest tensor created while the mode is active."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            self.numel = max(self.numel, tensor.numel() if isinstance(tensor, Tensor) else 0)
        return out


def test_absorbed_readout_makes_no_tensor_as_large_as_the_plain_blocks_input() -> None:
    case = make_case(BlockConfig("llama", 64, 4, 2, 96, 1e-5), dim=4, batch=8, tokens=40, rows=1)
    case.block.requires_grad_(False)
    largest = {}
    for regime in get_args(Regime):
        with WidestTensor() as widest:
            case.read(regime).square().sum().backward()
        largest[regime] = widest.numel
    assert largest["full"] >= 8 * 40 * 64
    assert largest["folded"] <= 8 * 40 * 32
    assert largest["absorbed"] <= 64 * 96, "nothing should be larger than a transposed view of the largest weight"


@pytest.mark.parametrize("config", [LLAMA, OPT, POST_LN], ids=str)
def test_less_memory_is_kept_for_the_backward_pass_than_by_the_plain_block(config: BlockConfig) -> None:
    case = make_case(config, dim=4, bias=True, batch=4, tokens=50, rows=2)
    case.block.requires_grad_(False)
    own = {tensor.untyped_storage().data_ptr() for tensor in case.inputs()}
    kept = {}
    for regime in get_args(Regime):
        storages = {}

        def keep(tensor: Tensor, storages: dict[int, int] = storages) -> Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = case.read(regime)
        kept[regime] = sum(size for pointer, size in storages.items() if pointer not in own)
        assert out.requires_grad
    assert kept["absorbed"] < kept["folded"] < kept["full"]


@regimes
def test_activation_checkpointing_changes_nothing(regime: Regime) -> None:
    case = make_case(LLAMA, bias=True)
    adapter = make_adapter(case, regime)
    parameters = [parameter for parameter in adapter.parameters() if parameter.requires_grad]
    plain = adapter(case.tokens, case.readout)
    again = checkpoint(adapter, case.tokens, case.readout, use_reentrant=False)
    torch.testing.assert_close(again, plain, rtol=0, atol=0)
    gradients = [torch.autograd.grad(out.square().sum(), parameters) for out in (again, plain)]
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


COMPILED_AND_EXPORTED = """
    import torch
    from torch import nn
    from perception.frozen.adapter import build_adapter
    from perception.tokens import Readout, Tokens

    class Model(nn.Module):
        def __init__(self, regime):
            super().__init__()
            self.adapter = build_adapter(8, source="random:32x48x4x2?seed=1", bias=True)
            self.adapter.regime = regime

        def forward(self, values, valid, rows):
            return self.adapter(Tokens(values, valid), Readout(rows))

    def inputs(batch, tokens):
        return torch.randn(batch, tokens, 8), torch.rand(batch, tokens) < 0.7, torch.randint(tokens, (batch, 2))

    for regime in ("absorbed", "folded", "full", None):
        model, small, large = Model(regime), inputs(2, 6), inputs(40, 9)
        weight = model.adapter.project_in.weight
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        gradients = [torch.autograd.grad(m(*small).square().sum(), weight)[0] for m in (compiled, model)]
        torch.testing.assert_close(*gradients)
        batch, tokens = torch.export.Dim("batch", max=64), torch.export.Dim("tokens", max=64)
        shapes = ({0: batch, 1: tokens}, {0: batch, 1: tokens}, {0: batch})
        exported = torch.export.export(model, small, dynamic_shapes=shapes).module()
        for sizes in (small, large):
            torch.testing.assert_close(compiled(*sizes), model(*sizes))
            torch.testing.assert_close(exported(*sizes), model(*sizes))
"""


@pytest.mark.slow
def test_adapter_compiles_without_graph_breaks_and_exports_with_open_sizes() -> None:
    run(COMPILED_AND_EXPORTED, [])


DISTRIBUTED = """
    import os
    import sys
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel
    from perception.frozen.adapter import build_adapter
    from perception.tokens import Readout, Tokens

    rank, rendezvous = int(sys.argv[1]), sys.argv[2]
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    torch.manual_seed(0)
    values, valid, rows = torch.randn(4, 6, 8), torch.rand(4, 6) < 0.7, torch.randint(6, (4, 2))
    for regime in ("absorbed", "folded", "full"):
        adapter = build_adapter(8, source="random:32x48x4x2?seed=1", bias=True)
        adapter.regime = regime
        adapter(Tokens(values, valid), Readout(rows)).square().mean().backward()
        alone = adapter.project_in.weight.grad.clone()
        adapter.zero_grad()
        mine = slice(2 * rank, 2 * rank + 2)
        distributed = DistributedDataParallel(adapter)
        distributed(Tokens(values[mine], valid[mine]), Readout(rows[mine])).square().mean().backward()
        torch.testing.assert_close(adapter.project_in.weight.grad, alone)
    dist.barrier()
    os._exit(0)  # skips the shutdown of gloo's threads, which occasionally aborts the process
"""


@pytest.mark.slow
def test_two_processes_get_the_gradient_of_one(tmp_path: Path) -> None:
    rendezvous = str(tmp_path / "rendezvous")
    run(DISTRIBUTED, ["0", rendezvous], ["1", rendezvous])


def run(program: str, *processes: list[str]) -> None:
    """Runs a program in another process, because torch's tracers cannot trace the shape checks of this one."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    running = [subprocess.Popen([*command, *a], stderr=subprocess.PIPE, text=True) for a in processes]
    errors = [process.communicate(timeout=300)[1] for process in running]
    assert all(process.returncode == 0 for process in running), "\n".join(errors)
