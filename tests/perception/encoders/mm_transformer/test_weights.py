"""The released checkpoint's names load by a plain map, or nothing does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from perception.encoders.mm_transformer.network import MMTransformer
from perception.encoders.mm_transformer.weights import load_mm_transformer
from perception.frozen.weights import WeightsError
from perception.heads.trajectory_proposals import ProposalDecoder

SOME_RELEASED_NAMES = {
    "stacked_transformer.hist_tf.encoder.layers.0.self_attn.linears.3.bias",
    "stacked_transformer.hist_tf.decoder.layers.1.src_attn.linears.0.weight",
    "stacked_transformer.hist_tf.decoder.layers.1.sublayer.2.norm.weight",
    "stacked_transformer.hist_tf.src_embed.0.lut.weight",
    "stacked_transformer.lane_enc.norm.weight",
    "stacked_transformer.lane_dec.layers.0.feed_forward.w_1.weight",
    "stacked_transformer.lane_emb.lut.bias",
    "stacked_transformer.pos_emb.3.weight",
    "stacked_transformer.dist_emb.0.weight",
    "stacked_transformer.fusion1.1.weight",
    "stacked_transformer.fusion2.3.bias",
    "stacked_transformer.social_enc.layers.1.sublayer.1.norm.bias",
    "stacked_transformer.query_embed.weight",
    "stacked_transformer.prediction_header.reg_mlp.4.weight",
    "stacked_transformer.prediction_header.cls_FFN.w_2.bias",
    "stacked_transformer.prediction_header.classification_layer.1.weight",
    "subgraph.layer_seq.lmlp_1.mlp.0.weight",
}
"""As the released code makes them."""


def made_checkpoint(seed: int = 3) -> dict[str, Tensor]:
    """Random weights under the released names, with those that the released code holds and never uses."""
    torch.manual_seed(seed)
    encoder, head = MMTransformer(), ProposalDecoder()
    named = {
        name if name.startswith("subgraph") else f"stacked_transformer.{name}": value.clone()
        for name, value in encoder.state_dict().items()
    }
    named |= {f"stacked_transformer.prediction_header.{name}": p.clone() for name, p in head.named_parameters()}
    unused = {
        "stacked_transformer.social_dec.norm.weight": torch.ones(128),
        "stacked_transformer.prediction_header.dis_emb.weight": torch.ones(128, 2),
        "stacked_transformer.hist_tf.src_embed.1.pe": torch.ones(5000, 128),
    }
    return named | unused


def load(checkpoint: dict[str, Tensor], folder: Path, **options) -> tuple[MMTransformer, ProposalDecoder]:
    path = folder / "released.pth"
    torch.save(checkpoint, path)
    torch.manual_seed(0)
    encoder, head = MMTransformer(**options), ProposalDecoder()
    load_mm_transformer(path, encoder, head)
    return encoder, head


@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_weight_comes_from_the_checkpoint(prefix: str, tmp_path: Path) -> None:
    checkpoint = made_checkpoint()
    assert checkpoint.keys() >= SOME_RELEASED_NAMES
    encoder, head = load({prefix + name: value for name, value in checkpoint.items()}, tmp_path)
    for name, value in encoder.state_dict().items():
        released = name if name.startswith("subgraph") else f"stacked_transformer.{name}"
        assert torch.equal(value, checkpoint[released]), name
    for name, value in head.named_parameters():
        assert torch.equal(value, checkpoint[f"stacked_transformer.prediction_header.{name}"]), name


def test_what_is_missing_left_over_or_of_another_shape_is_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    missing, surplus, narrow = made_checkpoint(), made_checkpoint(), made_checkpoint()
    del missing["stacked_transformer.query_embed.weight"]
    surplus["stacked_transformer.other.weight"] = torch.ones(1)
    narrow["stacked_transformer.query_embed.weight"] = torch.ones(36, 128)
    for checkpoint, words in (
        (missing, "it lacks encoder.query_embed.weight"),
        (surplus, "it does not need encoder.other.weight"),
        (narrow, r"expected encoder.query_embed.weight of shape \(6, 128\), found \(36, 128\)"),
    ):
        with pytest.raises(WeightsError, match=words):
            load(checkpoint, tmp_path)
