"""A training step with every row through the frozen block beside bare encoders, and decoding by seeking."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perception.errors import InputError
from perception_tools.bench.taking_turns import Timing, Work, compare, make_step, peak_megabytes
from perception_tools.json_files import write_json
from perception_tools.machine import describe_machine

if TYPE_CHECKING:
    from torch import Tensor, nn

    from perception.encoders.video_mae import VideoMae
    from perception.models.action_recognizer import ActionRecognizer

CLASSES = 174
IMAGES, PICTURE, PATCH = 16, 224, 16


def bench_video(
    json: Path | None = None,
    size: str = "small",
    block: str = "random:llama-7b",
    batch: int = 1,
    rows_at_once: int = 392,
    repeat: int = 3,
    threads: int | None = None,
    videos: tuple[Path, ...] = (),
    decode_only: bool = False,
) -> list[Timing]:
    """Times training steps of VideoMAE with a frozen block against the bare encoder, ours and transformers'; decoding.

    Clips have 16 images of 224 pixels: 1,568 tokens, of which all are read. All are trained in float32 by AdamW. The
    speed of a way is the first way's time over its own, so that above 1 is faster.

    Args:
        json: File for all numbers and the machine.
        size: Size of the transformer: micro, small, base or large.
        block: URI of the block.
        batch: Number of clips.
        rows_at_once: Number of rows that are as wide as the block at a time, in the way with little memory.
        repeat: Number of rounds.
        threads: PyTorch's; its own choice by default.
        videos: Videos of which 16 images are decoded; a made one of 300 images with a keyframe in every 30 by default.
        decode_only: Time decoding alone.
    """
    import torch

    if batch < 1 or repeat < 1 or rows_at_once < 1:
        raise InputError("--batch, --repeat, --rows-at-once: expected at least 1 of each; give positive numbers")
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    machine = describe_machine()
    print(f"VideoMAE {size}, batch {batch}, block {block}; {machine['processor']}, {torch.get_num_threads()} threads")
    timings = [] if decode_only else _steps(size, block, batch, rows_at_once, repeat)
    with tempfile.TemporaryDirectory() as folder:
        paths = videos or (write_video(Path(folder) / "made.mp4"),)
        timings += compare("decoding", decoding_ways(paths), len(paths), repeat)
    if json:
        write_json(json, {"machine": machine, "timings": [asdict(timing) for timing in timings]})
    return timings


def _steps(size: str, block: str, batch: int, rows_at_once: int, repeat: int) -> list[Timing]:
    import torch

    clips, labels = torch.randn(batch, 3, IMAGES, PICTURE, PICTURE), torch.randint(CLASSES, (batch,))
    ways = {
        "ours, bare": make_step(make_recognizer(size, None), clips, labels),
        "transformers, bare": make_step(make_transformers(make_recognizer(size, None).encoder, CLASSES), clips, labels),
        "ours, block, few rows at once": make_step(make_recognizer(size, block, rows_at_once), clips, labels),
        "ours, block, all rows at once": make_step(make_recognizer(size, block), clips, labels),
    }
    return compare("training", ways, batch, repeat, {way: peak_megabytes(step) for way, step in ways.items()})


def make_recognizer(size: str, block: str | None, rows_at_once: int | None = None) -> ActionRecognizer:
    """Our model; without a block where there is no URI."""
    from perception.encoders.video_mae import VIDEO_MAE_SIZES, VideoMae
    from perception.frozen.adapter import build_adapter
    from perception.heads.action import ActionHead
    from perception.models.action_recognizer import ActionRecognizer

    if size not in VIDEO_MAE_SIZES:
        raise InputError(f"--size {size}: expected one of {', '.join(VIDEO_MAE_SIZES)}")
    dim = VIDEO_MAE_SIZES[size].dim
    adapter = build_adapter(dim, kind="none") if block is None else build_adapter(dim, source=block)
    adapter.rows_at_once = rows_at_once
    encoder = VideoMae(VIDEO_MAE_SIZES[size], PATCH, (IMAGES, PICTURE, PICTURE))
    return ActionRecognizer(encoder, adapter, ActionHead(dim, CLASSES))


def make_transformers(encoder: VideoMae, classes: int) -> nn.Module:
    """Hugging Face's model of the same size as ours, called as ours."""
    import torch
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    of, (images, height, _) = encoder.size, encoder.clip
    config: Any = VideoMAEConfig(
        hidden_size=of.dim,
        num_hidden_layers=of.depth,
        num_attention_heads=of.heads,
        intermediate_size=4 * of.dim,
        image_size=height,
        num_frames=images,
        patch_size=encoder.patch,
        tubelet_size=encoder.tubelet,
    )
    config.num_labels = classes

    class Called(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = VideoMAEForVideoClassification(config)

        def forward(self, clips: Tensor) -> Tensor:
            return self.model(clips.transpose(1, 2)).logits

    return Called()


def decoding_ways(paths: Sequence[Path]) -> dict[str, Work]:
    """Ways to get 16 random images of each video, the same for all."""
    from perception.clips.sampling import random_images
    from perception_datasets.video.decoding import decode_images

    def some(length: int) -> np.ndarray:
        return random_images(length, IMAGES, np.random.default_rng(0))

    def seeking() -> None:
        for path in paths:
            decode_images(path, path, some)

    def everything() -> None:
        for path in paths:
            whole = decode_images(path, path, np.arange, seek=False)
            whole[some(len(whole))]

    def one_part() -> None:
        for path in paths:
            decode_images(path, path, lambda length: np.arange(length // 2, length // 2 + 1))

    return {
        "all images, decoded and converted": Work(everything),
        "16 of all segments, by seeking": Work(seeking),
        "one in the middle, by seeking": Work(one_part),
    }


def write_video(path: Path, count: int = 300, height: int = 240, width: int = 424, keyframe_every: int = 30) -> Path:
    """Writes moving noise as H.264, of the size of Something-Something's videos."""
    import av

    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (height + count, width, 3), np.uint8)
    with av.open(str(path), "w") as container:
        options = {"g": str(keyframe_every), "sc_threshold": "0", "preset": "ultrafast"}
        stream: Any = container.add_stream("libx264", rate=Fraction(12), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(count):
            image = np.ascontiguousarray(texture[number : number + height] // 4 + 96)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path
