"""METER's names: a made checkpoint of tiny dimensions loads completely, with the values of METER's arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from perception.frozen.weights import WeightsError
from perception.models.image_text import ImageText
from perception.models.meter_checkpoint import load_meter

pytest.importorskip("transformers")
MakeModel = Callable[..., ImageText]
TEXTS = ["is it red ?", "a zebra", ""]
WIDTH, SHARED = 16, 24


def meter_names(model: ImageText, *, heads: bool = True) -> dict[str, Tensor]:
    """Random tensors with the names and shapes that METER's code gives a model of this size."""
    generator = torch.Generator().manual_seed(1)
    shapes: dict[str, tuple[int, ...]] = {
        "token_type_embeddings.weight": (2, SHARED),
        "vit_model.visual.class_embedding": (WIDTH,),
        "vit_model.visual.positional_embedding": (5, WIDTH),
        "vit_model.visual.conv1.weight": (WIDTH, 3, 8, 8),
        "vit_model.token_embedding.weight": (7, 4),
        "vit_model.positional_embedding": (7, 4),
        "text_transformer.pooler.dense.weight": (WIDTH, WIDTH),
        "mlm_score.bias": (9,),
    }
    for norm in ("ln_pre", "ln_post", "transformer.resblocks.0.ln_1", "transformer.resblocks.0.ln_2"):
        shapes |= {f"vit_model.visual.{norm}.{kind}": (WIDTH,) for kind in ("weight", "bias")}
    layer = "vit_model.visual.transformer.resblocks.0"
    shapes |= {f"{layer}.attn.in_proj_weight": (3 * WIDTH, WIDTH), f"{layer}.attn.in_proj_bias": (3 * WIDTH,)}
    for name, (rows, columns) in {
        f"{layer}.attn.out_proj": (WIDTH, WIDTH),
        f"{layer}.mlp.c_fc": (4 * WIDTH, WIDTH),
        f"{layer}.mlp.c_proj": (WIDTH, 4 * WIDTH),
        "cross_modal_text_transform": (SHARED, WIDTH),
        "cross_modal_image_transform": (SHARED, WIDTH),
        "cross_modal_text_pooler.dense": (SHARED, SHARED),
        "cross_modal_image_pooler.dense": (SHARED, SHARED),
    }.items():
        shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    for stream in ("image", "text"):
        for number in range(2):
            prefix = f"cross_modal_{stream}_layers.{number}"
            for attention in ("attention", "crossattention"):
                for part in ("self.query", "self.key", "self.value", "output.dense"):
                    shapes[f"{prefix}.{attention}.{part}.weight"] = (SHARED, SHARED)
                    shapes[f"{prefix}.{attention}.{part}.bias"] = (SHARED,)
                shapes |= {f"{prefix}.{attention}.output.LayerNorm.{k}": (SHARED,) for k in ("weight", "bias")}
            shapes |= {f"{prefix}.intermediate.dense.weight": (4 * SHARED, SHARED)}
            shapes |= {f"{prefix}.intermediate.dense.bias": (4 * SHARED,)}
            shapes |= {f"{prefix}.output.dense.weight": (SHARED, 4 * SHARED), f"{prefix}.output.dense.bias": (SHARED,)}
            shapes |= {f"{prefix}.output.LayerNorm.{k}": (SHARED,) for k in ("weight", "bias")}
    if heads:
        shapes |= {"itm_score.fc.weight": (2, 2 * SHARED), "itm_score.fc.bias": (2,)}
        shapes |= {"vqa_classifier.0.weight": (48, 48), "vqa_classifier.0.bias": (48,)}
        shapes |= {"vqa_classifier.1.weight": (48,), "vqa_classifier.1.bias": (48,)}
        shapes |= {"vqa_classifier.3.weight": (5, 48), "vqa_classifier.3.bias": (5,)}
    tensors = {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    for name, value in model.text.state_dict().items():  # RoBERTa's names are transformers' in both
        tensors[f"text_transformer.{name}"] = 0.3 * torch.randn(value.shape, generator=generator)
    return tensors


def clip_of_meter(stored: dict[str, Tensor], images: Tensor) -> Tensor:
    """The picture tower by OpenAI's arithmetic, with PyTorch's own attention."""
    weights = {name.removeprefix("vit_model.visual."): value for name, value in stored.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        return nn.functional.layer_norm(x, (WIDTH,), weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = nn.functional.conv2d(images, weights["conv1.weight"], stride=8).flatten(2).mT
    x = torch.cat([weights["class_embedding"].expand(len(x), 1, -1), x], 1) + weights["positional_embedding"]
    x = norm(x, "ln_pre")
    layer = "transformer.resblocks.0."
    attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
    parts = {name.removeprefix(f"{layer}attn."): v for name, v in weights.items() if name.startswith(f"{layer}attn.")}
    attention.load_state_dict(parts)
    y = norm(x, f"{layer}ln_1")
    x = x + attention(y, y, y, need_weights=False)[0]
    y = norm(x, f"{layer}ln_2") @ weights[f"{layer}mlp.c_fc.weight"].T + weights[f"{layer}mlp.c_fc.bias"]
    y = y * torch.sigmoid(1.702 * y)
    x = x + y @ weights[f"{layer}mlp.c_proj.weight"].T + weights[f"{layer}mlp.c_proj.bias"]
    return norm(x, "ln_post")


@torch.no_grad()
def test_a_checkpoint_with_meters_names_fills_the_whole_model(make_image_text: MakeModel, tmp_path: Path) -> None:
    model, path = make_image_text(), tmp_path / "meter.ckpt"
    stored, before = meter_names(model), {name: value.clone() for name, value in model.state_dict().items()}
    torch.save({"state_dict": stored, "epoch": 9, "hyper_parameters": {"config": {"vit": "ViT-B/32"}}}, path)
    load_meter(path, model)
    for name, value in model.state_dict().items():
        assert name.startswith("block.") == value.equal(before[name]), name
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(model.image(images).values, clip_of_meter(stored, images), rtol=1e-4, atol=1e-5)
    assert model.get_parameter("fusion.text_layers.1.crossattention.self.key.weight").equal(
        stored["cross_modal_text_layers.1.crossattention.self.key.weight"]
    )


@torch.no_grad()
def test_ranking_starts_from_the_match_head_of_a_checkpoint_without_it(
    make_image_text: MakeModel, tmp_path: Path
) -> None:
    model = make_image_text(ranks=True)
    stored = meter_names(model)
    save_file(stored, tmp_path / "meter.safetensors")
    load_meter(tmp_path / "meter.safetensors", model)
    pooled = model.fuse(model.encode_image(torch.randn(3, 3, 16, 16)), model.encode_text(model.text.batch(TEXTS)))
    assert model.itm_score is not None
    torch.testing.assert_close(model.rank(pooled), model.itm_score(pooled)[:, 1])


def test_what_does_not_fit_is_refused_and_changes_nothing(make_image_text: MakeModel, tmp_path: Path) -> None:
    model = make_image_text()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def refused(stored: dict[str, Tensor], message: str, **options: bool) -> None:
        save_file(stored, tmp_path / "meter.safetensors")
        with pytest.raises(WeightsError, match=message):
            load_meter(tmp_path / "meter.safetensors", model, **options)
        assert all(value.equal(before[name]) for name, value in model.state_dict().items())

    refused(meter_names(model, heads=False), r"lacks those of vqa_classifier.*drop_heads")
    cut = meter_names(model)
    del cut["cross_modal_image_layers.1.output.dense.weight"]
    refused(cut, r"lacks those of fusion\.image_layers\.1\.output\.dense\.weight")
    refused(meter_names(model) | {"vit_model.visual.conv1.weight": torch.zeros(16, 3, 4, 4)}, "patch_embedding")
    refused(meter_names(model) | {"token_type_embeddings.weight": torch.full((2, 24), torch.nan)}, "finite")
    save_file(meter_names(model, heads=False), tmp_path / "meter.safetensors")
    load_meter(tmp_path / "meter.safetensors", model, drop_heads=True)
