from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from perception.errors import InputError
from perception_datasets.video.open_videos import open_videos
from perception_tools.main import main
from perception_tools.video.data import ClipReader, ValidationClips
from perception_tools.video.model import load_recognizer
from perception_tools.video.record_losses import record_losses


def test_losses_are_those_of_each_clip_in_a_mixed_order(trained_recognizer: Path, clips: Path) -> None:
    trained = load_recognizer(trained_recognizer)
    source = record_losses(trained, clips, "train", None)
    found = torch.stack(list(source.losses(trained.recognizer)))
    videos = open_videos(clips, "train", classes=trained.classes)
    shown = ValidationClips(ClipReader(videos, trained.recipe.shorter_side), trained.recognizer.input)
    seen = [shown[number] for number in range(len(shown))]
    logits = trained.recognizer(torch.stack([clip.value for clip in seen]))
    expected = F.cross_entropy(logits, torch.tensor([clip.label for clip in seen]), reduction="none")
    torch.testing.assert_close(found.sort().values, expected.sort().values)
    assert not torch.allclose(found, expected, rtol=0, atol=1e-7)


def test_a_fresh_model_is_a_function_of_its_seed_and_a_control_sees_its_own_order(
    trained_recognizer: Path, clips: Path
) -> None:
    trained = load_recognizer(trained_recognizer)
    source = record_losses(trained, clips, "val", 3)
    one, same, other = (source.initial(seed).encoder.patch_embed.proj.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    control = replace(trained, recipe=replace(trained.recipe, order="reversed"))
    turned = torch.stack(list(record_losses(control, clips, "val", 3).losses(trained.recognizer)))
    assert not torch.equal(torch.stack(list(source.losses(trained.recognizer))), turned)


def test_the_command_names_clips_that_cannot_be_read_and_refuses_pretraining(
    trained_recognizer: Path, pretrained: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(clips, tmp_path / "data")
    (data / "train" / "train3.mp4").write_bytes(b"nothing")
    words = ["--data", str(data), "--out", str(tmp_path / "out"), "--batch", "2", "--batches", "4"]
    assert main(["analyse", "gradients", str(trained_recognizer), *words]) == 0
    numbers = json.loads((tmp_path / "out" / "gradients.json").read_text())
    assert numbers["trained"]["clips"] == 6  # three whole batches of the seven
    assert len(numbers["failures"]) == 1
    assert "train3" in capsys.readouterr().out
    with pytest.raises(InputError, match="expected a model that recognises actions, got one of pre-training"):
        record_losses(load_recognizer(pretrained), clips, "val", None)
