"""What a classifier of pictures computes on its way, at the stages that Pang et al. (ICLR 2024, §6) look at.

The stages are read by hooks, so that a model pays nothing for them otherwise. For every row to exist, the block is
evaluated plainly, with the values of the fast way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.block import LlamaBlock, OptBlock
from perception.models.image_classifier import ImageClassifier


@dataclass(frozen=True)
class ImageStages:
    """Features of every token, the class token first, and where the class token looks.

    The paper does not say whether its features inside the block are sums of the residual stream or what a part adds to
    it; these are sums. The stages between `encoder` and `project_out` are None in a model without a language block.

    Attributes:
        encoder: Input of `project_in`, F_E in the paper: tokens of the layers before the block, not normed.
        project_in: Tokens as wide as the block, F_L1.
        attention: The last block's residual stream after attention, F^A_LM.
        feed_forward: Output of the last block before the norm that follows it, F^F_LM.
        project_out: Output of `project_out`, F_L2. The class token's row is what a head at the tail reads.
        cls_attention: Attention of the class token to every token, itself included, in the last block; without one, in
            the last layer of the encoder. It sums to 1 in each head.
    """

    encoder: Float[Tensor, "batch tokens dim"]
    project_in: Float[Tensor, "batch tokens width"] | None
    attention: Float[Tensor, "batch tokens width"] | None
    feed_forward: Float[Tensor, "batch tokens width"] | None
    project_out: Float[Tensor, "batch tokens dim"]
    cls_attention: Float[Tensor, "batch heads tokens"]


@torch.no_grad()
def read_stages(model: ImageClassifier, images: Float[Tensor, "batch 3 height width"]) -> ImageStages:
    """Returns the stages of a model around an adapter, as it was trained; a folded one has no such features."""
    adapter = model.block
    if not isinstance(adapter, FrozenBlockAdapter):
        raise ValueError(f"read_stages: expected a model as it was trained, got one around {type(adapter).__name__}")
    inputs: dict[str, nn.Module] = {"encoder": adapter}
    outputs: dict[str, nn.Module] = {"project_out": adapter}
    last = adapter.blocks[-1]
    if isinstance(last, LlamaBlock | OptBlock):
        before = last.ffn_norm if isinstance(last, LlamaBlock) or last.pre_norm else last.attention_norm
        inputs["attention"] = before
        outputs |= {"project_in": adapter.project_in, "feed_forward": last, "query": last.q, "key": last.k}
    else:
        outputs["query_key_value"] = model.encoder.get_submodule(f"blocks.{len(model.encoder.blocks) - 1}.attn.qkv")
    with _plain(adapter), _noted(inputs, outputs) as found:
        model.finish(model.encoder.embed(images))
    if isinstance(last, LlamaBlock | OptBlock):
        cls_attention = _cls_attention(found["query"], found["key"], last.heads, last.kv_heads)
    else:
        heads = model.encoder.size.heads
        query, key, _ = found["query_key_value"].chunk(3, -1)
        cls_attention = _cls_attention(query, key, heads, heads)
    return ImageStages(
        encoder=found["encoder"].values,
        project_in=found.get("project_in"),
        attention=found.get("attention"),
        feed_forward=found.get("feed_forward"),
        project_out=found["project_out"],
        cls_attention=cls_attention,
    )


@contextmanager
def _plain(adapter: FrozenBlockAdapter) -> Iterator[None]:
    """Evaluates the block plainly as long as the context lasts."""
    regime, adapter.regime = adapter.regime, "full"
    try:
        yield
    finally:
        adapter.regime = regime


@contextmanager
def _noted(inputs: Mapping[str, nn.Module], outputs: Mapping[str, nn.Module]) -> Iterator[dict[str, Any]]:
    """Yields a dict into which modules put their first input, or their output, under a stage's name."""
    found: dict[str, Any] = {}
    with ExitStack() as hooks:
        for name, module in inputs.items():
            note = lambda _, given, name=name: found.update({name: given[0]})  # noqa: E731
            hooks.callback(module.register_forward_pre_hook(note).remove)
        for name, module in outputs.items():
            note = lambda _, __, output, name=name: found.update({name: output})  # noqa: E731
            hooks.callback(module.register_forward_hook(note).remove)
        yield found


def _cls_attention(
    query: Float[Tensor, "batch tokens inner"], key: Float[Tensor, "batch tokens kv_inner"], heads: int, kv_heads: int
) -> Float[Tensor, "batch heads tokens"]:
    """Returns the attention of the first token."""
    first = query[:, :1].unflatten(-1, (kv_heads, heads // kv_heads, -1))
    keys = key.unflatten(-1, (kv_heads, 1, -1))
    scores = (first * keys).sum(-1) / first.shape[-1] ** 0.5
    return scores.flatten(2).mT.softmax(-1)
