from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from perception.encoders.video_mae import VideoMae
from perception.encoders.video_mae_weights import load_video_mae
from perception.encoders.vit import VitSize
from perception.frozen.weights import WeightsError
from perception.heads.action import ActionHead

SIZE = VitSize(24, 2, 3)
CLIP = (4, 16, 16)


def hugging_face(kind: str, **changes: Any) -> Any:
    """One of transformers' models with random weights."""
    import transformers

    torch.manual_seed(3)
    config = transformers.VideoMAEConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=96,
        image_size=16,
        num_frames=4,
        patch_size=8,
        layer_norm_eps=1e-6,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
        **changes,
    )
    config.num_labels = 5
    model = getattr(transformers, kind)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def written(state: dict[str, Tensor], folder: Path) -> Path:
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "model.safetensors")
    return folder / "model.safetensors"


def fine_tuned(encoder: VideoMae, head: ActionHead) -> dict[str, Tensor]:
    """A checkpoint of fine-tuning by the authors' names."""
    state = dict(encoder.state_dict())
    state |= {f"fc_norm.{name}": value for name, value in head.fc_norm.state_dict().items()}
    return state | {f"head.{name}": value for name, value in head.fc.state_dict().items()}


def model(seed: int = 0) -> tuple[VideoMae, ActionHead]:
    torch.manual_seed(seed)
    encoder, head = VideoMae(SIZE, 8, CLIP), ActionHead(24, 5, eps=1e-5)
    with torch.no_grad():
        for parameter in (*encoder.parameters(), *head.parameters()):
            parameter.normal_()
    return encoder.eval(), head.eval()


def parts(head: ActionHead) -> dict[str, torch.nn.Module]:
    return {"fc_norm": head.fc_norm, "head": head.fc}


def test_a_classifier_of_hugging_face_gives_the_same_logits(tmp_path: Path) -> None:
    theirs = hugging_face("VideoMAEForVideoClassification")
    encoder, head = model()
    load_video_mae(written(theirs.state_dict(), tmp_path), encoder, parts(head))
    clips = torch.randn(2, 3, *CLIP)
    torch.testing.assert_close(head(encoder(clips).values), theirs(clips.transpose(1, 2)).logits, rtol=0, atol=1e-5)


def test_biases_under_hugging_faces_older_names_are_the_same(tmp_path: Path) -> None:
    state = hugging_face("VideoMAEForVideoClassification").state_dict()
    old = {name.replace("query.bias", "q_bias").replace("value.bias", "v_bias"): value for name, value in state.items()}
    assert sum(name.endswith("q_bias") for name in old) == 2
    encoder, head = model()
    load_video_mae(written(old, tmp_path), encoder, parts(head))
    name = "videomae.encoder.layer.1.attention.attention.v_bias"
    assert torch.equal(encoder.state_dict()["blocks.1.attn.v_bias"], old[name])


def test_a_pre_trained_model_of_hugging_face_gives_its_encoder(tmp_path: Path) -> None:
    theirs = hugging_face("VideoMAEForPreTraining", use_mean_pooling=False)
    encoder, _ = model()
    load_video_mae(written(theirs.state_dict(), tmp_path), encoder)
    clips = torch.randn(2, 3, *CLIP)
    expected = theirs.videomae.encoder(theirs.videomae.embeddings(clips.transpose(1, 2), None)).last_hidden_state
    torch.testing.assert_close(encoder(clips).values, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "module.", "module.backbone."])
@pytest.mark.parametrize("key", ["model", "module", None])
def test_the_authors_fine_tuned_names_load_strictly(prefix: str, key: str | None, tmp_path: Path) -> None:
    theirs, their_head = model(1)
    state = {prefix + name: value for name, value in fine_tuned(theirs, their_head).items()}
    torch.save({key: state} if key else state, tmp_path / "checkpoint.pth")
    encoder, head = model()
    load_video_mae(tmp_path / "checkpoint.pth", encoder, parts(head))
    assert all(
        torch.equal(a, b) for a, b in zip(encoder.state_dict().values(), theirs.state_dict().values(), strict=True)
    )
    assert torch.equal(head.fc.weight, their_head.fc.weight)
    assert torch.equal(head.fc_norm.bias, their_head.fc_norm.bias)


def test_the_authors_pre_trained_names_load_without_decoder_and_last_norm(tmp_path: Path) -> None:
    theirs, _ = model(1)
    state = {f"encoder.{name}": value for name, value in theirs.state_dict().items()}
    state |= {"encoder.norm.weight": torch.ones(24), "encoder.norm.bias": torch.zeros(24)}
    state |= {"mask_token": torch.zeros(1, 1, 16), "encoder_to_decoder.weight": torch.zeros(16, 24)}
    state |= {"decoder.blocks.0.attn.q_bias": torch.zeros(16), "decoder.norm.weight": torch.zeros(16)}
    encoder, _ = model()
    load_video_mae(written(state, tmp_path), encoder)
    name = "blocks.0.attn.qkv.weight"
    assert torch.equal(encoder.state_dict()[name], theirs.state_dict()[name])


def test_a_head_of_other_classes_can_be_dropped(tmp_path: Path) -> None:
    theirs, their_head = model(1)
    path = written(fine_tuned(theirs, their_head), tmp_path)
    encoder, _ = model()
    with pytest.raises(WeightsError, match="drop_head"):
        load_video_mae(path, encoder)
    load_video_mae(path, encoder, drop_head=True)
    name = "blocks.0.mlp.fc1.weight"
    assert torch.equal(encoder.state_dict()[name], theirs.state_dict()[name])
    with pytest.raises(ValueError, match="both"):
        load_video_mae(path, encoder, parts(their_head), drop_head=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("blocks.1.attn.q_bias"), "lacks blocks.1.attn.q_bias"),
        (
            lambda state: state.update({"blocks.2.attn.q_bias": torch.zeros(24)}),
            "found tensors .* blocks.2.attn.q_bias",
        ),
        (lambda state: state.update({"patch_embed.proj.weight": torch.zeros(24, 3, 2, 4, 4)}), "expected tensor"),
        (lambda state: state.update({"patch_embed.proj.bias": torch.full((24,), torch.nan)}), "finite"),
        (lambda state: state.update({"module.blocks.0.attn.q_bias": torch.zeros(24)}), "two tensors for blocks.0"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(change: Any, message: str, tmp_path: Path) -> None:
    theirs, their_head = model(1)
    state = fine_tuned(theirs, their_head)
    change(state)
    encoder, head = model()
    before = [value.clone() for value in encoder.state_dict().values()]
    with pytest.raises(WeightsError, match=message):
        load_video_mae(written(state, tmp_path), encoder, parts(head))
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.state_dict().values(), strict=True))
