"""The image classifier around a frozen block beside timm's bare vision transformer, in one run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from perception.errors import InputError
from perception_tools.bench.taking_turns import Timing, compare, make_inference, make_step, peak_megabytes
from perception_tools.json_files import write_json
from perception_tools.machine import describe_machine

if TYPE_CHECKING:
    from torch import nn

    from perception.encoders.vit import Vit
    from perception.models.image_classifier import ImageClassifier

CLASSES = 1000
PICTURE = 224
PATCH = 16


def bench_vit(
    json: Path | None = None,
    size: str = "small",
    block: str = "random:llama-7b",
    batch: int = 8,
    repeat: int = 5,
    threads: int | None = None,
) -> list[Timing]:
    """Times training steps and inference of a ViT with a frozen block against timm's bare ViT, taking turns.

    All are of 224 pixels and patches of 16, trained in float32 by AdamW. The speed of a way is timm's time over its
    own, so that above 1 is faster.

    Args:
        json: File for all numbers and the machine.
        size: Size of the transformer: tiny, small, base or large.
        block: URI of the block.
        batch: Number of pictures.
        repeat: Number of rounds.
        threads: PyTorch's; its own choice by default.
    """
    import torch

    if batch < 1 or repeat < 1:
        raise InputError(f"--batch {batch} --repeat {repeat}: expected at least 1 of each; give positive numbers")
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    machine = describe_machine()
    print(f"ViT {size}, batch {batch}, block {block}; {machine['processor']}, {torch.get_num_threads()} threads")
    timings = []
    images, labels = torch.randn(batch, 3, PICTURE, PICTURE), torch.randint(CLASSES, (batch,))
    behind, narrow = make_classifier(size, block), make_classifier(size, block, "bfloat16")
    bare = make_classifier(size, None)
    training = {
        "timm, bare": make_step(make_timm(size), images, labels),
        "ours, bare": make_step(bare, images, labels),
        "ours, with the block": make_step(behind, images, labels),
        "ours, with the block in bfloat16": make_step(narrow, images, labels),
    }
    peaks = {way: peak_megabytes(step) for way, step in training.items()}
    timings += compare("training", training, batch, repeat, peaks)
    del training
    inference = {
        "timm, bare": make_inference(make_timm(size), images),
        "ours, bare": make_inference(bare.folded(), images),
        "ours, with the block": make_inference(behind.folded(), images),
        "ours, with the block in bfloat16": make_inference(behind.folded("bfloat16"), images),
    }
    timings += compare("inference", inference, batch, repeat)
    if json:
        write_json(json, {"machine": machine, "timings": [asdict(timing) for timing in timings]})
    return timings


def make_timm(size: str) -> nn.Module:
    """Timm's model, with its random initial weights."""
    import timm

    return timm.create_model(f"vit_{size}_patch{PATCH}_{PICTURE}", num_classes=CLASSES)


def timm_of(encoder: Vit, picture: tuple[int, int], classes: int) -> nn.Module:
    """Timm's model of the same size as ours, with its random initial weights."""
    from timm.models.vision_transformer import VisionTransformer

    of = encoder.size
    return VisionTransformer(
        picture, encoder.patch, num_classes=classes, embed_dim=of.dim, depth=of.depth, num_heads=of.heads
    )


def make_classifier(size: str, block: str | None, dtype: str = "float32") -> ImageClassifier:
    """Our model; without a block where there is no URI.

    Args:
        size: Size of the transformer.
        block: URI of the block.
        dtype: Type of the block's matrices.
    """
    import torch

    from perception.encoders.vit import VIT_SIZES, Vit
    from perception.frozen.adapter import build_adapter
    from perception.heads.classification import ClassificationHead
    from perception.models.image_classifier import ImageClassifier

    if size not in VIT_SIZES:
        raise InputError(f"--size {size}: expected one of {', '.join(VIT_SIZES)}")
    dim = VIT_SIZES[size].dim
    if block is None:
        adapter = build_adapter(dim, kind="none")
    else:
        adapter = build_adapter(dim, source=block, dtype=getattr(torch, dtype))
    encoder = Vit(VIT_SIZES[size], PATCH, (PICTURE, PICTURE))
    return ImageClassifier(encoder, adapter, ClassificationHead(dim, CLASSES))
