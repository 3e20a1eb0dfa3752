from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from perception.clips.clip_input import ClipInput
from perception.clips.masking import tube_masks
from perception.losses.masked_pixels import pixel_targets
from perception_tools.video.evaluate import evaluate_recognizers
from perception_tools.video.headline import headline
from perception_tools.video.model import build_autoencoder, load_recognizer
from perception_tools.video.recipes import ActionRecipe
from perception_tools.video.reconstruction import reconstruction_picture


def test_an_evaluation_leaves_the_loss_and_a_picture(pretrained: Path, clips: Path, tmp_path: Path) -> None:
    metrics = evaluate_recognizers((pretrained,), clips, tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert (metrics["clips"], metrics["unread"], metrics["mask_ratio"]) == (4, 0, 0.75)
    assert 0 < metrics["loss"] < 10
    picture = np.array(Image.open(tmp_path / "reconstruction.png"))
    assert picture.shape == (3 * 3 * 16, 4 * 16, 3)
    trained = load_recognizer(pretrained)
    assert headline(trained.model, trained, clips, "val", None) == {"loss": metrics["loss"]}


def test_a_perfect_model_gives_the_images_themselves(tiny_recipe: ActionRecipe) -> None:
    model = build_autoencoder(tiny_recipe)
    shown = ClipInput(4, 16).normalised(torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)).unsqueeze(0)
    masked = tube_masks(1, model.encoder.grid, 0.5, torch.Generator().manual_seed(0))
    targets = pixel_targets(model.tubelets(shown))
    model.forward = lambda clips, masked: targets[masked].view(len(clips), -1, targets.shape[-1])  # pyright: ignore
    images, visible, given = np.split(reconstruction_picture(model, shown, masked), 3)
    assert np.abs(images.astype(int) - given).max() <= 1
    assert (visible == 128).all(-1).mean() == 0.5
