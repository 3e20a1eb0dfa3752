from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from perception.encoders.vit import Vit, VitSize, resample_pos_embed
from perception.encoders.vit_weights import load_vit
from perception.frozen.weights import WeightsError

SIZE = VitSize(24, 2, 3)
Write = Callable[[dict[str, Tensor], Path], Path]


def in_safetensors(state: dict[str, Tensor], folder: Path) -> Path:
    save_file(state, folder / "model.safetensors")
    return folder / "model.safetensors"


def in_pth(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save({"model": state}, folder / "deit.pth")  # as DeiT's are
    return folder / "deit.pth"


def in_flat_pth(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save(state, folder / "timm.pth")
    return folder / "timm.pth"


def checkpoint(classes: int = 5, picture: int = 16, dim: int = 24) -> tuple[nn.Module, dict[str, Tensor]]:
    """DeiT of a small size, and its state dict."""
    torch.manual_seed(1)
    model = timm.create_model(
        "deit_tiny_patch16_224", img_size=picture, patch_size=4, embed_dim=dim, depth=2, num_classes=classes
    )
    return model.eval(), dict(model.state_dict())


def vit_config() -> Any:
    """Hugging Face's configuration of the same size, with five classes."""
    from transformers import ViTConfig

    config: Any = ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96, image_size=16, patch_size=4
    )
    config.num_labels = 5
    return config


@pytest.mark.parametrize("write", [in_safetensors, in_pth, in_flat_pth])
def test_a_deit_checkpoint_is_loaded_strictly_with_its_head(write: Write, tmp_path: Path) -> None:
    theirs, state = checkpoint()
    encoder, head = Vit(SIZE, 4, (16, 16)), nn.Linear(24, 5)
    load_vit(write(state, tmp_path), encoder, head)
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(head(encoder(images).values[:, 0]), theirs(images))


def test_a_narrow_checkpoint_is_widened(tmp_path: Path) -> None:
    _, state = checkpoint()
    encoder = Vit(SIZE, 4, (16, 16))
    load_vit(in_pth({name: value.half() for name, value in state.items()}, tmp_path), encoder, drop_head=True)
    assert encoder.norm.weight.dtype == torch.float32
    assert torch.equal(
        encoder.state_dict()["blocks.0.attn.qkv.weight"], state["blocks.0.attn.qkv.weight"].half().float()
    )


@pytest.mark.parametrize("with_head", [True, False])
def test_hugging_faces_vit_gives_the_same_logits(with_head: bool, tmp_path: Path) -> None:
    from transformers import ViTForImageClassification, ViTModel

    torch.manual_seed(2)
    config = vit_config()
    theirs = (ViTForImageClassification(config) if with_head else ViTModel(config, add_pooling_layer=False)).eval()
    theirs.save_pretrained(tmp_path)
    encoder = Vit(SIZE, 4, (16, 16), eps=config.layer_norm_eps).eval()
    head = nn.Linear(24, 5) if with_head else None
    load_vit(tmp_path / "model.safetensors", encoder, head)
    images = torch.randn(2, 3, 16, 16)
    mine = encoder(images).values
    expected = theirs(images)
    if head is not None:
        torch.testing.assert_close(head(mine[:, 0]), expected.logits)
    else:
        torch.testing.assert_close(mine, expected.last_hidden_state)


def test_position_embeddings_are_resampled_only_when_asked(tmp_path: Path) -> None:
    _, state = checkpoint(picture=24)
    path, encoder = in_pth(state, tmp_path), Vit(SIZE, 4, (8, 16))
    with pytest.raises(WeightsError, match=r"'pos_embed' of shape \(1, 9, 24\), got \(1, 37, 24\).*\(resample\)"):
        load_vit(path, encoder, drop_head=True)
    load_vit(path, encoder, drop_head=True, resample=True)
    assert torch.equal(encoder.pos_embed, resample_pos_embed(state["pos_embed"], (6, 6), (2, 4)))


def test_a_head_of_other_classes_is_dropped_only_when_asked(tmp_path: Path) -> None:
    _, state = checkpoint(classes=7)
    path, encoder = in_pth(state, tmp_path), Vit(SIZE, 4, (16, 16))
    with pytest.raises(WeightsError, match=r"'head\.\w+' of shape \(5.*\), got \(7.*of other classes: drop it"):
        load_vit(path, encoder, nn.Linear(24, 5))
    with pytest.raises(WeightsError, match=r"does not have, head\.bias, head\.weight; give the head too, or drop it"):
        load_vit(path, encoder)
    load_vit(path, encoder, drop_head=True)
    with pytest.raises(ValueError, match="got both"):
        load_vit(path, encoder, nn.Linear(24, 7), drop_head=True)


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "blocks.1.mlp.fc2.bias"), r"lacks blocks\.1\.mlp\.fc2\.bias; give"),
        (lambda s: without(s, "head.bias"), r"lacks head\.bias"),
        (lambda s: s | {"dist_token": torch.ones(1, 1, 24)}, r"does not have, dist_token; it is of another"),
        (lambda s: s | {"norm.weight": torch.ones(25)}, r"'norm\.weight' of shape \(24,\), got \(25,\); give"),
        (lambda s: s | {"pos_embed": torch.ones(17, 24)}, r"'pos_embed' of shape \(1, 17, 24\), got \(17, 24\)"),
        (lambda s: s | {"norm.bias": torch.full((24,), torch.nan)}, r"expected finite .* 'norm\.bias'"),
        (lambda s: s | {"norm.bias": torch.ones(24, dtype=torch.int8)}, r"'norm\.bias', got torch\.int8"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]], message: str, tmp_path: Path
) -> None:
    path = in_pth(change(checkpoint()[1]), tmp_path)
    encoder, head = Vit(SIZE, 4, (16, 16)), nn.Linear(24, 5)
    before = {name: value.clone() for name, value in [*encoder.state_dict().items(), *head.state_dict().items()]}
    with pytest.raises(WeightsError, match=rf"deit\.pth: .*{message}"):
        load_vit(path, encoder, head, resample="pos_embed" in message)
    after = {**encoder.state_dict(), **head.state_dict()}
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "vit.encoder.layer.0.attention.attention.key.bias"), r"expected .*key\.bias.* one shape"),
        (lambda s: s | {"vit.encoder.layer.0.attention.attention.key.bias": torch.ones(2)}, "of one shape"),
        (lambda s: s | {"layernorm.weight": torch.ones(24)}, "with and without the prefix"),
        (lambda s: s | {"vit.pooler.dense.bias": torch.ones(24)}, r"does not have, vit\.pooler\.dense\.bias"),
    ],
)
def test_a_broken_checkpoint_of_hugging_face_is_named(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]], message: str, tmp_path: Path
) -> None:
    from safetensors.torch import load_file
    from transformers import ViTForImageClassification

    ViTForImageClassification(vit_config()).save_pretrained(tmp_path)
    path = in_safetensors(change(load_file(tmp_path / "model.safetensors")), tmp_path)
    with pytest.raises(WeightsError, match=message):
        load_vit(path, Vit(SIZE, 4, (16, 16)), nn.Linear(24, 5))


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    encoder = Vit(SIZE, 4, (16, 16))
    with pytest.raises(WeightsError, match=r"none\.pth: no such file"):
        load_vit(tmp_path / "none.pth", encoder)
    path = in_safetensors(checkpoint()[1], tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"model\.safetensors: it cannot be parsed"):
        load_vit(path, encoder)
