from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from perception.frozen.weights import WeightsError, load_blocks

Check = Callable[[dict[str, torch.Tensor], int], None]


@pytest.mark.parametrize(("shards", "rope"), [(1, False), (1, True), (2, False)])
def test_meta_release_gives_the_same_block(
    write_meta: Callable[..., Path], assert_same_block: Check, llama: LlamaForCausalLM, shards: int, rope: bool
) -> None:
    blocks = load_blocks(f"{write_meta(shards, rope)}#1")
    assert_same_block(blocks.states[0], 1)
    assert torch.equal(blocks.final_norm["weight"], llama.model.norm.weight)
    assert (blocks.source_layers, len(blocks.files), blocks.config.kv_heads) == (3, shards, 2)


@pytest.mark.parametrize(
    ("dim", "multiple_of", "multiplier", "ffn_dim"),
    [(4096, 256, None, 11008), (4096, 1024, 1.3, 14336), (8192, 4096, 1.3, 28672), (5120, 256, None, 13824)],
)
def test_ffn_width_follows_the_releases(dim: int, multiple_of: int, multiplier: float | None, ffn_dim: int) -> None:
    """LLaMA-1 7B, LLaMA-3 8B, LLaMA-2 70B and LLaMA-1 13B."""
    from perception.frozen.weights.meta import _ffn_dim

    assert _ffn_dim(dim, multiple_of, multiplier) == ffn_dim


def test_lost_shard_is_noticed_by_the_shapes(write_meta: Callable[..., Path]) -> None:
    folder = write_meta(2)
    (folder / "consolidated.01.pth").unlink()
    with pytest.raises(WeightsError, match=r"consolidated\.00\.pth: tensor .* should have shape"):
        load_blocks(str(folder))


def test_shards_of_different_models_are_refused(write_meta: Callable[..., Path]) -> None:
    folder = write_meta(2)
    torch.save({"other": torch.ones(2)}, folder / "consolidated.01.pth")
    with pytest.raises(WeightsError, match="is not in every shard"):
        load_blocks(str(folder))


def test_folder_without_weights_is_named(write_meta: Callable[..., Path]) -> None:
    folder = write_meta()
    (folder / "consolidated.00.pth").unlink()
    with pytest.raises(WeightsError, match=r"expected consolidated\.00\.pth beside params\.json"):
        load_blocks(str(folder))


@pytest.mark.parametrize(
    ("text", "message"), [("{", "it cannot be parsed"), (json.dumps({"dim": 4}), "it lacks 'n_heads'")]
)
def test_unusable_parameters_are_named(write_meta: Callable[..., Path], text: str, message: str) -> None:
    folder = write_meta()
    (folder / "params.json").write_text(text)
    with pytest.raises(WeightsError, match=message):
        load_blocks(str(folder))
