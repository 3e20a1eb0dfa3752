"""What a pre-trained autoencoder of clips gives for hidden parts: its loss over a split, and a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from perception.clips.masking import tube_masks
from perception.errors import InputError
from perception.models.masked_autoencoder import MaskedAutoencoder
from perception_datasets.video.open_videos import open_videos
from perception_datasets.video.records import Videos
from perception_tools.classification.records import collate_validation
from perception_tools.json_files import write_json
from perception_tools.training.loaders import make_loader
from perception_tools.video.data import ClipReader, ValidationClips
from perception_tools.video.model import TrainedRecognizer
from perception_tools.video.pretraining import reconstruction_loss
from perception_tools.video.recipes import ActionRecipe

SHOWN_CLIPS, SHOWN_IMAGES = 3, 4
PICTURE = "reconstruction.png"


@torch.inference_mode()
def evaluate_autoencoder(
    trained: TrainedRecognizer, data: Path, out: Path, split: str, limit: int | None, batch: int
) -> dict:
    """Scores a run of pre-training: OUT/metrics.json and OUT/reconstruction.png.

    The picture has three rows for each of a few clips: images, what is visible of them, and what the model gives for
    the rest, in the brightness and contrast of the hidden parts themselves, which it does not predict.

    Raises:
        InputError: The videos cannot be used.
    """
    model, recipe, of = trained.model, trained.recipe, trained.training
    assert isinstance(model, MaskedAutoencoder)
    videos = open_videos(data, split, labels=of.labels, where=of.where, limit=limit)
    loss, counted, shown = split_loss(model, recipe, videos, batch)
    metrics = {
        "name": trained.name,
        "split": split,
        "clips": counted,
        "unread": len(videos) - counted,
        "loss": loss,
        "mask_ratio": recipe.mask_ratio,
    }
    write_json(out / "metrics.json", metrics)
    masked = tube_masks(len(shown), model.encoder.grid, recipe.mask_ratio, torch.Generator().manual_seed(0))
    Image.fromarray(reconstruction_picture(model, shown, masked)).save(out / PICTURE)
    print(f"loss {loss:.4f} over {counted} clips\n{out / 'metrics.json'}\n{out / PICTURE}")
    return metrics


@torch.inference_mode()
def split_loss(
    model: MaskedAutoencoder, recipe: ActionRecipe, videos: Videos, batch: int = 4
) -> tuple[float, int, Float[Tensor, "shown 3 time height width"]]:
    """Returns the mean loss over a split, the number of clips that could be read, and a few of them.

    Raises:
        InputError: None could be read.
    """
    clips = ValidationClips(ClipReader(videos, recipe.shorter_side), model.input, recipe.order)
    losses, shown, faults = [], [], {}
    for number, given in enumerate(make_loader(clips, collate=collate_validation, batch=batch)):
        faults |= dict(given.unread)
        if len(given.labels):
            draw = torch.Generator().manual_seed(number)
            losses += [float(reconstruction_loss(model, given.values, recipe.mask_ratio, draw))] * len(given.labels)
            shown = shown or [given.values[:SHOWN_CLIPS]]
    if not losses:
        raise InputError(
            f"{videos.path}: expected clips that can be read, found none; {next(iter(faults.values()), '')}"
        )
    return float(np.mean(losses)), len(losses), shown[0]


def reconstruction_picture(
    model: MaskedAutoencoder,
    clips: Float[Tensor, "batch 3 time height width"],
    masked: Bool[Tensor, "batch tubelets"],
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Images, what is visible of them, and what the model gives for the rest, one below the other."""
    pixels = model.tubelets(clips)
    colours = pixels.unflatten(-1, (3, -1))
    mean, std = colours.mean(-1), colours.std(-1)
    predicted = model(clips, masked).unflatten(-1, (-1, 3))
    hidden = predicted * std[masked].view(len(clips), -1, 1, 3) + mean[masked].view(len(clips), -1, 1, 3)
    visible, given = pixels.clone(), pixels.clone()
    visible[masked] = 0.5
    given[masked] = hidden.mT.flatten(-2).flatten(0, 1)
    step = max(clips.shape[2] // SHOWN_IMAGES, 1)
    rows = []
    for clip in range(len(clips)):
        for values in (pixels, visible, given):
            images = _images(values[clip], model)[::step]
            rows.append(np.concatenate(list(images), axis=1))
    return np.concatenate(rows)


def _images(
    tubelets: Float[Tensor, "tubelets values"], model: MaskedAutoencoder
) -> UInt8[np.ndarray, "time height width 3"]:
    (times, rows, columns), (t, h, w) = model.encoder.grid, model.shape
    parts = tubelets.view(times, rows, columns, 3, t, h, w).permute(0, 4, 1, 5, 2, 6, 3)
    images = parts.reshape(times * t, rows * h, columns * w, 3)
    return images.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()
