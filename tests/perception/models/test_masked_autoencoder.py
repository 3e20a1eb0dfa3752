from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fixtures.protocols import keeps_with_block
from perception.clips.masking import tube_masks
from perception.encoders.video_mae import VideoMae
from perception.encoders.video_mae_weights import published_names
from perception.encoders.vit import VitSize
from perception.errors import InputError
from perception.losses.masked_pixels import masked_pixel_loss
from perception.models.masked_autoencoder import MaskedAutoencoder

CLIP = (4, 16, 16)


def pair() -> tuple[MaskedAutoencoder, Any]:
    """Ours and transformers' model, with the same random weights."""
    from transformers import VideoMAEConfig, VideoMAEForPreTraining

    torch.manual_seed(0)
    config: Any = VideoMAEConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96, image_size=16, num_frames=4,
        patch_size=4, layer_norm_eps=1e-5, use_mean_pooling=False, decoder_hidden_size=16,
        decoder_num_hidden_layers=2, decoder_num_attention_heads=2, decoder_intermediate_size=64,
    )  # fmt: skip
    theirs: Any = VideoMAEForPreTraining(config)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    ours = MaskedAutoencoder(VideoMae(VitSize(24, 2, 3), 4, CLIP, eps=1e-5), VitSize(16, 2, 2), eps=1e-5)
    state = published_names(theirs.state_dict(), Path("theirs"))
    state = {f"encoder.{n}" if n.startswith(("blocks.", "patch_embed.")) else n: v for n, v in state.items()}
    ours.load_state_dict(state, strict=True)
    return ours, theirs


def test_predictions_loss_and_gradients_are_those_of_transformers() -> None:
    ours, theirs = pair()
    clips = torch.randn(3, 3, *CLIP)
    masked = tube_masks(3, ours.encoder.grid, 0.9)
    predicted = ours(clips, masked)
    loss = masked_pixel_loss(predicted, ours.tubelets(clips), masked)
    reference = theirs(clips.transpose(1, 2), bool_masked_pos=masked)
    torch.testing.assert_close(predicted, reference.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(loss, reference.loss, rtol=1e-5, atol=1e-5)
    loss.backward()
    reference.loss.backward()
    theirs_token = theirs.mask_token.grad
    torch.testing.assert_close(ours.mask_token.grad, theirs_token, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(
        ours.encoder.patch_embed.proj.weight.grad,
        theirs.videomae.embeddings.patch_embeddings.projection.weight.grad,
        rtol=1e-3,
        atol=1e-6,
    )


def test_what_is_hidden_is_not_seen() -> None:
    ours, _ = pair()
    clips = torch.randn(1, 3, *CLIP)
    masked = tube_masks(1, ours.encoder.grid, 0.5)
    changed = clips.clone()
    hidden = masked.view(ours.encoder.grid).repeat_interleave(2, 0).repeat_interleave(4, 1).repeat_interleave(4, 2)
    changed[:, :, hidden] += 5
    torch.testing.assert_close(ours(changed, masked), ours(clips, masked), rtol=0, atol=0)
    assert not torch.allclose(ours(clips + 1, masked), ours(clips, masked))


def test_it_has_no_place_for_a_block() -> None:
    ours, _ = pair()
    assert keeps_with_block(ours)
    assert isinstance(ours.folded(), MaskedAutoencoder)
    with pytest.raises(InputError, match="no language block"):
        ours.with_block(torch.nn.Identity())
