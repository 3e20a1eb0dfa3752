"""Small videos whose classes differ in nothing but the order of their images, a tiny recipe, and a run of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception_tools.video.recipes import ActionRecipe
    from perception_tools.video.run import ActionRun

TEMPLATES = ("Moving [something] to the left", "Moving [something] to the right")


def write_video(path: Path, images: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10, options={"g": "4"})
        stream.width, stream.height, stream.pix_fmt = images.shape[2], images.shape[1], "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="session")
def write_clips() -> Callable[..., Path]:
    """Writes videos of a moving square in Something-Something's format; half of them go backwards."""

    def write(folder: Path, *, train: int = 8, val: int = 4) -> Path:
        rng = np.random.default_rng(0)
        folder.mkdir(parents=True, exist_ok=True)
        labels = {template.replace("[", "").replace("]", ""): str(n) for n, template in enumerate(TEMPLATES)}
        (folder / "labels.json").write_text(json.dumps(labels))
        for split, count in (("train", train), ("val", val)):
            (folder / split).mkdir()
            records, lines = [], ["id,hand"]
            for number in range(count):
                top, start = rng.integers(0, 20), rng.integers(0, 8)
                images = np.full((8, 32, 48, 3), 40, np.uint8)
                for time in range(8):
                    images[time, top : top + 12, start + 4 * time : start + 4 * time + 12] = 220
                label = number % 2
                name = f"{split}{number}"
                write_video(folder / split / f"{name}.mp4", images if label else images[::-1])
                records.append({"id": name, "template": TEMPLATES[label]})
                lines.append(f"{name},{'left' if number < count / 2 else 'right'}")
            (folder / f"{split}.json").write_text(json.dumps(records))
            (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
        return folder

    return write


@pytest.fixture(scope="session")
def clips(write_clips: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The videos. Tests must not change them."""
    return write_clips(tmp_path_factory.mktemp("clips") / "squares")


@pytest.fixture(scope="session")
def tiny_recipe() -> ActionRecipe:
    """A recipe that trains in a second: two passes of two steps, around a seeded random block."""
    from perception_tools.training.recipes import BlockRecipe
    from perception_tools.video.recipes import RECIPES

    micro = RECIPES["video/micro-llama"]
    return replace(
        micro,
        block=BlockRecipe(source="random:32x48x4?seed=0"),
        images=4,
        picture=16,
        patch=8,
        shorter_side=20,
        rows_at_once=5,
        batch=4,
        passes=2,
        validate_every=1,
        timm_schedule=replace(micro.timm_schedule, warmup_passes=0.5),
    )


@pytest.fixture(scope="session")
def make_run(
    clips: Path, tiny_recipe: ActionRecipe, maker_of_runs: Callable[..., Callable[..., Any]]
) -> Callable[..., ActionRun]:
    """Makes a run into a folder, with changes to the recipe and other options of the run."""
    from perception_tools.video.run import ActionRun

    return maker_of_runs(ActionRun, tiny_recipe, data=clips, name="video/micro-llama", accelerator="cpu")


@pytest.fixture(scope="session")
def trained_recognizer(make_run: Callable[..., ActionRun], train_into_folder: Callable[..., Path]) -> Path:
    """The folder of a finished run. Tests must not change it."""
    return train_into_folder("recognizer", make_run)


@pytest.fixture(scope="session")
def pretrained(make_run: Callable[..., ActionRun], train_into_folder: Callable[..., Path]) -> Path:
    """The folder of a finished run of pre-training. Tests must not change it."""
    from perception_tools.training.recipes import BlockRecipe

    changes = {"mask_ratio": 0.75, "block": BlockRecipe(kind="none")}
    return train_into_folder("autoencoder", make_run, changes, name="video/pretrain-micro")
