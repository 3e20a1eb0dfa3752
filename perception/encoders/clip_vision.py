"""CLIP's picture tower as METER uses it: all tokens, after the last norm (https://arxiv.org/abs/2103.00020).

The layers are those of the transformers library. METER (https://arxiv.org/abs/2111.02387) leaves CLIP's last layer out,
so that 11 of the 12 layers of ViT-B run, and applies `ln_post` to every token.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from perception.encoders.vit import MLP_RATIO, VitSize
from perception.errors import InputError, first_of
from perception.hub import expect_model, load_pretrained
from perception.tokens import Tokens

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of red, green and blue, from 0 to 1, that CLIP's towers were trained with."""


class ClipVision(nn.Module):
    """A picture as a class token and patches.

    Args:
        size: Width, number of layers that run, and heads.
        patch: Height and width of a patch in pixels.
        picture: Height and width of the pictures in pixels.

    Raises:
        InputError: The picture is not a whole number of patches, or transformers is not installed.
    """

    def __init__(self, size: VitSize, patch: int, picture: int) -> None:
        super().__init__()
        if picture % patch:
            raise InputError(
                f"picture: expected a multiple of patch={patch} pixels, got {picture}; give another size of picture"
            )
        try:
            from transformers import CLIPVisionConfig, CLIPVisionModel
        except ImportError as error:
            raise InputError(
                "transformers: expected it to be installed; pip install 'frozen-perception[text]'"
            ) from error
        self.size, self.patch, self.picture = size, patch, picture
        config = CLIPVisionConfig(
            hidden_size=size.dim,
            intermediate_size=MLP_RATIO * size.dim,
            num_hidden_layers=size.depth,
            num_attention_heads=size.heads,
            image_size=picture,
            patch_size=patch,
        )
        model = CLIPVisionModel(config)
        model = getattr(model, "vision_model", model)  # one module deeper in some versions
        self.embeddings, self.pre_layrnorm = model.embeddings, model.pre_layrnorm
        self.encoder, self.post_layernorm = model.encoder, model.post_layernorm

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Tokens:
        """Returns the class token, then a token for each patch, after the last norm."""
        is_other = images.shape[-2:] != (self.picture, self.picture)
        x = self.pre_layrnorm(self.embeddings(images, interpolate_pos_encoding=is_other))
        values = self.post_layernorm(self.encoder(inputs_embeds=x).last_hidden_state)
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))


def load_clip_vision(folder: str | Path, picture: int | None = None, skip_last: int = 1) -> ClipVision:
    """A pretrained tower of CLIP, or of its picture tower, from a folder in the hub's layout or from huggingface.co.

    Args:
        folder: Folder with `config.json` and safetensors, or the name of a model on huggingface.co.
        picture: Height and width of the pictures in pixels; the tower's own by default. Position embeddings are
            resized to others, as METER resizes them.
        skip_last: Number of last layers to leave out.

    Raises:
        InputError: The folder cannot be used.
    """
    expect_model(folder)
    try:
        from transformers import CLIPVisionModel
    except ImportError as error:
        raise InputError("transformers: expected it to be installed; pip install 'frozen-perception[text]'") from error
    options = {"use_safetensors": True, "output_loading_info": True}
    model, found = load_pretrained(CLIPVisionModel, folder, "CLIP's picture tower", **options)
    if missing := sorted(found["missing_keys"]):  # the library fills them with random numbers
        raise InputError(f"{folder}: expected CLIP's picture tower, it lacks {first_of(missing)}; give another folder")
    config = model.config
    if config.hidden_act != "quick_gelu" or config.intermediate_size != MLP_RATIO * config.hidden_size:
        raise InputError(
            f"{folder}: expected OpenAI's CLIP, with quick_gelu and MLPs {MLP_RATIO} times as wide, got "
            f"{config.hidden_act} and {config.intermediate_size} for {config.hidden_size}; give another tower"
        )
    if not 0 <= skip_last < config.num_hidden_layers:
        raise InputError(
            f"{folder}: expected more than the {skip_last} layers to leave out, got {config.num_hidden_layers}"
        )
    size = VitSize(config.hidden_size, config.num_hidden_layers - skip_last, config.num_attention_heads)
    side = config.image_size if picture is None else picture
    tower = ClipVision(size, config.patch_size, side)
    weights = {name.removeprefix("vision_model."): value for name, value in model.state_dict().items()}
    table = "embeddings.position_embedding.weight"
    weights[table] = resize_positions(weights[table], side // config.patch_size)
    tower.load_state_dict({name: weights[name] for name in tower.state_dict()})
    return tower


def resize_positions(table: Float[Tensor, "old dim"], side: int) -> Float[Tensor, "new dim"]:
    """Position embeddings for a grid of `side` × `side` patches, from those of a square one; bicubic, as in METER.

    Args:
        table: Embedding of the class token, then of each patch.
        side: Patches in a row.
    """
    old = round((len(table) - 1) ** 0.5)
    if old == side:
        return table
    grid = table[1:].float().T.reshape(1, -1, old, old)
    grid = F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    return torch.cat([table[:1], grid.flatten(2)[0].T.to(table.dtype)])
