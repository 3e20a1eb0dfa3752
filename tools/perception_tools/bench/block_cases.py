"""What `perception bench block` runs: work that heads ask of the block, each done plainly and in our ways.

Plainly means as published: `project_in`, our `LlamaBlock` under PyTorch's fused attention and with PyTorch's own linear
layers, post-norm and `project_out` for every token, in float32, of which the head then reads its rows. The case `plain`
says how much of a gain is the kernels', which the plain block could have too.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.block import LlamaBlock
from perception.frozen.folded import BlockTail, FoldedBlock, fold
from perception.frozen.readout_cost import choose_regime
from perception.kernels.linear import for_inference, with_linears
from perception.kernels.precision import Precision, has_bfloat16_products
from perception.tokens import Readout, Tokens
from perception_nodes.block.service import BlockService

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8", "int8_dynamic")
Work = Callable[[], list[Tensor]]
"""Does a piece of work once and gives the tensors that are to be compared."""


@dataclass(frozen=True)
class Contender:
    """One way to do a case's work.

    Attributes:
        name: What is done differently.
        precision: Precision of the weights.
        regime: Regime of the readout.
        work: Does it.
        flops: Operations of doing it once.
        weight_bytes: That doing it once must read.
    """

    name: str
    precision: Precision
    regime: str
    work: Work
    flops: float
    weight_bytes: float


@dataclass(frozen=True)
class Case:
    """A piece of work, the baseline's way and others.

    Attributes:
        name: For `--cases`.
        description: Sizes in words.
        baseline_name: What the others are held against.
        baseline: Does it.
        contenders: The others.
        close: Called when the case is done.
    """

    name: str
    description: str
    baseline_name: str
    baseline: Work
    contenders: list[Contender]
    close: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True)
class Size:
    """B samples of N tokens of width d, M rows of each read (None: all)."""

    batch: int
    tokens: int
    dim: int
    rows: int | None = None

    def __str__(self) -> str:
        return f"B={self.batch}, N={self.tokens}, d={self.dim}, M={'all' if self.rows is None else self.rows}"

    def question(self) -> tuple[Tokens, Readout]:
        """Random tokens, and the first rows to be read."""
        values = torch.randn(self.batch, self.tokens, self.dim)
        tokens = Tokens(values, torch.ones(self.batch, self.tokens, dtype=torch.bool))
        if self.rows is None:
            return tokens, Readout()
        return tokens, Readout(torch.arange(self.rows).expand(self.batch, -1))


class Bench:
    """One block, and what is folded from it, for all cases of a run.

    Args:
        source: URI of the block.
        quick: Smaller batches.
    """

    def __init__(self, source: str, quick: bool) -> None:
        self.source, self.quick = source, quick
        self._tails: dict[Precision, BlockTail] = {}

    def cases(self) -> dict[str, Callable[[], Case]]:
        """Name → what makes the case; nothing is allocated before."""
        few = 8 if self.quick else 64
        vit = Size(few, 197, 384, 1)
        agents = Size(4 if self.quick else 32, 140, 256, 17)
        clouds = Size(2 if self.quick else 16, 65, 384)
        video = Size(1, 392 if self.quick else 1568, 384)
        slow = self.quick and not has_bfloat16_products(torch.device("cpu"))  # emulated: half a minute a pass
        trained: tuple[Precision, ...] = ("float32",) if slow else ("float32", "bfloat16")
        return {
            "vit-cls": lambda: self._forward("vit-cls", "ViT-S, CLS row", vit, autograd=True),
            "vit-cls-backward": lambda: self._backward("vit-cls-backward", "ViT-S, CLS row", vit, ("float32",)),
            "agents-backward": lambda: self._backward("agents-backward", "VectorNet, 17 agents", agents, trained),
            "frame": lambda: self._forward("frame", "one served frame", Size(1, 140, 256, 32), autograd=False),
            "point-bert": lambda: self._forward("point-bert", "Point-BERT, all rows", clouds, autograd=True),
            "video-mae": lambda: self._forward("video-mae", "VideoMAE, all rows", video, autograd=True),
            "plain": self._plain,
            "service": self._service,
            "vit-step": lambda: self._vit_step(few),
        }

    @cached_property
    def _first(self) -> FrozenBlockAdapter:
        return build_adapter(384, source=self.source)

    def _adapter(self, dim: int) -> FrozenBlockAdapter:
        """An adapter of this width around the one block."""
        width = _block_of(self._first).config.dim
        project_in, project_out = nn.Linear(dim, width, bias=False), nn.Linear(width, dim, bias=False)
        return FrozenBlockAdapter(project_in, list(self._first.blocks), self._first.post_norm, project_out)

    def _fold(self, adapter: FrozenBlockAdapter, precision: Precision) -> FoldedBlock:
        folded = fold(adapter, precision, tail=self._tails.get(precision))
        self._tails[precision] = folded.tail
        return folded

    def _forward(self, name: str, description: str, size: Size, autograd: bool) -> Case:
        adapter = self._adapter(size.dim)
        tokens, readout = size.question()
        contenders = []
        if autograd:
            wanting = Tokens(tokens.values.clone().requires_grad_(), tokens.valid)
            work = lambda: [adapter(wanting, readout).detach()]  # noqa: E731
            regime = choose_regime(_block_of(adapter), tokens.values, readout)
            flops, size_bytes = _count_flops(work), _weight_bytes(adapter)
            contenders.append(Contender("training form", "float32", regime, work, flops, size_bytes))
        flops = None
        for precision in PRECISIONS:
            folded = self._fold(adapter, precision)
            work = lambda folded=folded: [folded(tokens, readout)]  # noqa: E731
            flops = flops or _count_flops(work)
            regime = "absorbed" if folded.attention.absorbs(size.tokens, size.rows or size.tokens) else "folded"
            contenders.append(Contender("folded", precision, regime, work, flops, _weight_bytes(folded)))
        plain = torch.inference_mode()(lambda: [plainly(adapter, tokens, readout)])
        return Case(name, f"{description}, {size}, forward", "plain block, float32", plain, contenders)

    def _backward(self, name: str, description: str, size: Size, precisions: tuple[Precision, ...]) -> Case:
        adapter = self._adapter(size.dim)
        tokens, readout = size.question()

        def both_ways(
            forward: Callable[[Tokens, Readout], Tensor], model: nn.Module, dtype: torch.dtype
        ) -> list[Tensor]:
            values = tokens.values.to(dtype, copy=True).requires_grad_()
            model.zero_grad()
            forward(Tokens(values, tokens.valid), readout).square().mean().backward()
            gradients = [values.grad, *(p.grad for p in model.parameters() if p.requires_grad)]
            return [gradient for gradient in gradients if gradient is not None]

        regime = choose_regime(_block_of(adapter), tokens.values, readout)
        contenders, flops = [], None
        for precision in precisions:
            dtype = torch.float32 if precision == "float32" else torch.bfloat16
            own = adapter if dtype == torch.float32 else copy.deepcopy(adapter).to(dtype)
            work = lambda own=own, dtype=dtype: both_ways(own, own, dtype)  # noqa: E731
            flops = flops or _count_flops(work)
            contenders.append(Contender("training form", precision, regime, work, flops, 2 * _weight_bytes(own)))
        plain = lambda: both_ways(lambda t, r: plainly(adapter, t, r), adapter, torch.float32)  # noqa: E731
        return Case(name, f"{description}, {size}, forward + backward", "plain block, float32", plain, contenders)

    def _plain(self) -> Case:
        """Holds the baseline itself against the released implementation's arithmetic and transformers' layer."""
        size = Size(1 if self.quick else 8, 197, 384)
        adapter, (tokens, _) = self._adapter(384), size.question()
        block = _block_of(adapter)
        with torch.inference_mode():
            x = adapter.project_in(tokens.values)
        ours = torch.inference_mode()(lambda: [block(x, tokens.valid)])
        layer = transformers_layer(block)
        theirs = torch.inference_mode()(lambda: [layer(x)])
        released = torch.inference_mode()(lambda: [as_released(block, x)])
        served, block = for_inference(block), with_linears(block, nn.Linear)
        faster = torch.inference_mode()(lambda: [served(x, tokens.valid)])
        flops, read = _count_flops(ours), _weight_bytes(block)
        contenders = [
            Contender("our plain block", "float32", "full", ours, flops, read),
            Contender("with our kernels", "float32", "full", faster, flops, read),
            Contender("transformers' layer", "float32", "full", theirs, flops, read),
        ]
        return Case("plain", f"the plain block itself, {size}, forward", "as released", released, contenders)

    def _service(self) -> Case:
        """Four pipelines in one tick of the service, against one call after the other."""
        sizes = [Size(1, 197, 384, 1), Size(1, 140, 256, 4), Size(1, 65, 384, 1), Size(1, 40, 512, 1)]
        adapters, questions = [self._adapter(size.dim) for size in sizes], [size.question() for size in sizes]
        contenders, services = [], []
        for precision in PRECISIONS:
            pipelines = [self._fold(adapter, precision) for adapter in adapters]
            service = BlockService(self._tails[precision], max_delay_s=0.5, max_batch=sum(s.rows or 0 for s in sizes))
            for index, pipeline in enumerate(pipelines):
                service.pipeline(str(index), pipeline)
            alone = lambda ps=pipelines: [p(*q) for p, q in zip(ps, questions, strict=True)]  # noqa: E731
            flops = _count_flops(alone) if not contenders else contenders[0].flops
            size = _weight_bytes(pipelines[0])
            contenders.append(Contender("one by one", precision, "folded", alone, flops, 4 * size))
            contenders.append(
                Contender("one tick", precision, "folded", lambda s=service: _ask(s, questions), flops, size)
            )
            services.append(service)

        def close() -> None:
            for service in services:
                service.close()

        first, *others = contenders
        return Case("service", "four pipelines of at most 4 rows", "one by one, float32", first.work, others, close)

    def _vit_step(self, batch: int) -> Case:
        """A whole training step of timm's ViT-S with the block behind its last layer, against one without."""
        bare, behind = _vit(None), _vit(self._adapter(384))
        images, labels = torch.randn(batch, 3, 224, 224), torch.randint(1000, (batch,))
        flops = _count_flops(lambda: behind(images, labels))
        contender = Contender("with block", "float32", "absorbed", lambda: behind(images, labels), flops, 0)
        description = f"training step of ViT-S, B={batch}, AdamW"
        return Case("vit-step", description, "bare ViT-S", lambda: bare(images, labels), [contender])


def plainly(adapter: FrozenBlockAdapter, tokens: Tokens, readout: Readout) -> Tensor:
    """What the adapter gives, computed for every token as published."""
    published = with_linears(adapter, nn.Linear)
    every = published.blocks[0](published.project_in(tokens.values), None)
    return readout.gather(published.project_out(published.post_norm(every)))


def as_released(block: LlamaBlock, x: Tensor) -> Tensor:
    """The block in the order of the paper's code: scores, softmax in float32, sums, one after the other."""
    normed = block.attention_norm(x)
    q, k, v = (
        linear(normed).unflatten(-1, (block.heads, -1)).transpose(1, 2) for linear in (block.q, block.k, block.v)
    )
    scores = torch.matmul(q, k.transpose(2, 3)) / q.shape[-1] ** 0.5
    attended = torch.matmul(scores.float().softmax(dim=-1).to(q.dtype), v)
    return block.finish(x + block.o(attended.transpose(1, 2).flatten(2)))


def transformers_layer(block: LlamaBlock) -> Callable[[Tensor], Tensor]:
    """Hugging Face's decoder layer with the same weights, no rotary embedding, not causal."""
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    shape = block.config
    config = LlamaConfig(
        hidden_size=shape.dim, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        intermediate_size=shape.ffn_dim, rms_norm_eps=shape.eps,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        layer = LlamaDecoderLayer(config, 0)
    names = {"attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "q": "self_attn.q_proj",
             "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj", "gate": "mlp.gate_proj",
             "up": "mlp.up_proj", "down": "mlp.down_proj"}  # fmt: skip
    state = {f"{names[name.split('.')[0]]}.weight": value for name, value in block.state_dict().items()}
    layer.load_state_dict(state, assign=True)
    layer.self_attn.is_causal = False  # otherwise, without a mask, its fused attention is causal

    def run(x: Tensor) -> Tensor:
        size = shape.dim // shape.heads
        still = (torch.ones(1, x.shape[1], size), torch.zeros(1, x.shape[1], size))
        out = layer(x, attention_mask=None, position_embeddings=still)
        return out if isinstance(out, Tensor) else out[0]

    return run


def _vit(adapter: FrozenBlockAdapter | None) -> Callable[[Tensor, Tensor], list[Tensor]]:
    """A training step; the loss is what it gives."""
    import timm

    torch.manual_seed(0)
    model: Any = timm.create_model("vit_small_patch16_224")
    modules = nn.ModuleList([model] if adapter is None else [model, adapter])
    optimizer = torch.optim.AdamW([p for p in modules.parameters() if p.requires_grad], 1e-4)

    def step(images: Tensor, labels: Tensor) -> list[Tensor]:
        features = model.forward_features(images)
        if adapter is not None:
            tokens = Tokens(features, torch.ones(features.shape[:2], dtype=torch.bool))
            features = adapter(tokens, Readout.first(tokens))
        loss = nn.functional.cross_entropy(model.head(features[:, 0]), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return []

    return step


def _block_of(adapter: FrozenBlockAdapter) -> LlamaBlock:
    block = adapter.blocks[0]
    assert isinstance(block, LlamaBlock)
    return block


@register_flop_formula(torch.ops.mkldnn._linear_pointwise)
def _onednn_flops(x: torch.Size, weight: torch.Size, *_: object, **__: object) -> int:
    return 2 * math.prod(x) * weight[0]


def _count_flops(work: Work) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def _weight_bytes(module: nn.Module) -> float:
    tensors = {t.data_ptr(): t.nbytes for t in [*module.parameters(), *module.buffers()]}
    return float(sum(tensors.values()))


def _ask(service: BlockService, questions: list[tuple[Tokens, Readout]]) -> list[Tensor]:
    futures = [service.submit(str(index), *question) for index, question in enumerate(questions)]
    return [future.result() for future in futures]
