from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from perception.clips.clip import Clip
from perception.clips.resizing import resized
from perception.clips.sampling import middle_images
from perception.errors import InputError
from perception.frozen.stages import block_stages, noted_inputs
from perception_datasets.video.open_videos import open_videos
from perception_tools.analysis.filtering.views import Asked, TokenView
from perception_tools.main import main
from perception_tools.video.model import TrainedRecognizer, build_recognizer, load_recognizer, save_recognizer
from perception_tools.video.token_views import GAP_PIXELS, PANEL_INCHES, clip_views


def one_view(models: list[TrainedRecognizer], clips: Path) -> tuple[TokenView, ...]:
    (views,) = clip_views(models, Asked(clips, split="val", limit=1)).records
    return views


def test_the_tokens_of_a_view_are_the_cubes_of_the_clip_in_the_middle(trained_recognizer: Path, clips: Path) -> None:
    trained = load_recognizer(trained_recognizer)
    view, again = one_view([trained, trained], clips)
    videos = open_videos(clips, "val", limit=1)
    images = videos.decode(videos[0], lambda length: middle_images(length, 4)).images
    shown = trained.recognizer.prepare(Clip("clip", resized(images, trained.recipe.shorter_side)))
    with noted_inputs(trained.recognizer.block) as given, torch.no_grad():
        trained.recognizer(shown.unsqueeze(0))
    stages = block_stages(trained.recognizer.block, given[0]).named()  # pyright: ignore[reportArgumentType]
    assert list(view.stages) == list(stages)
    for name, values in stages.items():
        np.testing.assert_allclose(view.stages[name], values[0].numpy(), rtol=1e-5, atol=1e-6)
        assert np.array_equal(view.stages[name], again.stages[name])
    assert view.attention is not None
    assert view.attention.shape == (2 * 2 * 2,)
    assert view.attention.sum() == pytest.approx(4, rel=1e-5)  # of four heads
    assert view.target is None


def test_pictures_of_a_clip_are_drawn_side_by_side_with_their_heat(trained_recognizer: Path, clips: Path) -> None:
    (view,) = one_view([load_recognizer(trained_recognizer)], clips)
    assert view.inches == (2 * PANEL_INCHES, PANEL_INCHES)
    drawn = []
    for values in (None, np.zeros(8), np.eye(8)[5]):
        axes = Figure().subplots()
        view.draw(axes, values)
        (image,) = axes.get_images()
        drawn.append(np.asarray(image.get_array()))
    plain, dark, lit = drawn
    height, width = plain.shape[:2]
    assert width == 2 * height + GAP_PIXELS
    changed = (dark != lit).any(axis=-1)
    half = height // 2  # the sixth cube is the upper right one of the second time
    assert changed[:half, width - half :].all()
    assert changed.sum() == half * half


def test_a_control_is_shown_as_it_sees_clips(trained_recognizer: Path, clips: Path) -> None:
    trained = load_recognizer(trained_recognizer)
    control = replace(trained, recipe=replace(trained.recipe, order="reversed"))
    view, turned = one_view([trained, control], clips)
    assert not np.allclose(view.stages["encoder"], turned.stages["encoder"])


def test_the_command_writes_numbers_and_a_page_and_leaves_out_what_is_broken(
    trained_recognizer: Path, clips: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "clips"
    shutil.copytree(clips, folder)
    (folder / "val" / "val0.mp4").write_bytes(b"nothing")
    trained = load_recognizer(trained_recognizer)
    recipe = replace(trained.recipe, block=replace(trained.recipe.block, kind="none"))
    plain = tmp_path / "plain.safetensors"
    of = replace(trained.training, name="video/micro")
    save_recognizer(plain, build_recognizer(recipe, len(trained.classes)), recipe, trained.classes, of)
    places = ["--data", str(folder), "--out", str(tmp_path / "out"), "--pictures", "2"]
    assert main(["analyse", "filtering", str(trained_recognizer), "--beside", str(plain), *places]) == 0
    numbers = json.loads((tmp_path / "out" / "filtering.json").read_text())
    assert (numbers["noun"], numbers["records"], len(numbers["failures"])) == ("clips", 3, 1)
    html = (tmp_path / "out" / "filtering.html").read_text()
    assert html.count('class="chart scroll example"') == 2


def test_masks_and_runs_of_pretraining_are_refused(
    trained_recognizer: Path, pretrained: Path, clips: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="clips have no targets; leave it out"):
        clip_views([load_recognizer(trained_recognizer)], Asked(clips, tmp_path))
    with pytest.raises(InputError, match="expected a model that recognises actions, got one of pre-training"):
        clip_views([load_recognizer(pretrained)], Asked(clips))
