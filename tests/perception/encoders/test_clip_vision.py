"""CLIP's picture tower against transformers' own, with the last layer left out and positions resized."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from perception.encoders.clip_vision import ClipVision, load_clip_vision, resize_positions
from perception.encoders.vit import VitSize
from perception.errors import InputError

transformers = pytest.importorskip("transformers")
SIZES = {"hidden_size": 16, "intermediate_size": 64, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tower of three layers with random weights, in the hub's layout."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("clip")
    model = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(num_hidden_layers=3, **SIZES))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(path)
    return path


def test_values_equal_transformers_without_the_last_layer(folder: Path) -> None:
    theirs, images = transformers.CLIPVisionModel.from_pretrained(folder).eval(), torch.randn(2, 3, 16, 16)
    states = theirs(images, output_hidden_states=True).hidden_states
    post = getattr(theirs, "vision_model", theirs).post_layernorm
    for skipped in (0, 1):
        ours = load_clip_vision(folder, skip_last=skipped).eval()
        assert ours.size == VitSize(16, 3 - skipped, 2)
        tokens = ours(images)
        assert tokens.valid.all()
        torch.testing.assert_close(tokens.values, post(states[-1 - skipped]))


def test_positions_are_resized_to_larger_pictures_as_in_meter(folder: Path) -> None:
    ours, larger = load_clip_vision(folder).eval(), load_clip_vision(folder, picture=32).eval()
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(ours(images).values, larger(images).values, rtol=1e-4, atol=1e-5)
    table = torch.randn(5, 6)
    assert resize_positions(table, 2) is table
    resized = resize_positions(table, 3)
    grid = F.interpolate(table[1:].view(2, 2, 6).permute(2, 0, 1)[None], size=(3, 3), mode="bicubic")
    assert resized[0].equal(table[0])
    torch.testing.assert_close(resized[1:].view(3, 3, 6), grid[0].permute(1, 2, 0))


def test_what_cannot_be_used_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a multiple of patch=8 pixels, got 20"):
        ClipVision(VitSize(16, 1, 2), 8, 20)
    with pytest.raises(InputError, match=r"found no config\.json"):
        load_clip_vision(tmp_path)
    with pytest.raises(InputError, match="expected more than the 3 layers to leave out"):
        load_clip_vision(folder, skip_last=3)
    other = transformers.CLIPVisionConfig(num_hidden_layers=1, hidden_act="gelu", **SIZES)
    transformers.CLIPVisionModel(other).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="with quick_gelu"):
        load_clip_vision(tmp_path)


def test_a_folder_of_another_model_is_refused_instead_of_filled_with_random_numbers(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=16, patch_size=8)).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="expected CLIP's picture tower"):
        load_clip_vision(tmp_path)
