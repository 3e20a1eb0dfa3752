"""The image classifier around a frozen block beside timm's bare vision transformer, in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from perception.errors import InputError
from perception_tools.json_files import write_json
from perception_tools.machine import describe_machine

if TYPE_CHECKING:
    from torch import Tensor, nn

    from perception.models.image_classifier import ImageClassifier

Kind = Literal["training", "inference"]
CLASSES = 1000
PICTURE = 224
PATCH = 16


@dataclass(frozen=True)
class VitTiming:
    """A way of doing a batch's work, beside timm's bare model.

    Attributes:
        kind: A training step, or inference.
        way: What does it.
        batch: Number of pictures.
        threads: Number of threads that torch computes with.
        seconds: Median time.
        seconds_range: Fastest and slowest.
        pictures_per_s: From the median.
        speed: Median over the rounds of timm's time in the round over this way's.
        speed_range: Smallest and largest of these.
        cpu_speed: The same of processor time, which other programs on the machine change less. With several threads it
            counts their waiting for each other too.
        cpu_speed_range: Smallest and largest of these.
        memory_mb: Peak memory of trained weights, gradients, optimizer and activations, without the block's weights;
            None in inference.
        memory_ratio: The memory over timm's.
    """

    kind: Kind
    way: str
    batch: int
    threads: int
    seconds: float
    seconds_range: tuple[float, float]
    pictures_per_s: float
    speed: float
    speed_range: tuple[float, float]
    cpu_speed: float
    cpu_speed_range: tuple[float, float]
    memory_mb: float | None = None
    memory_ratio: float | None = None


def bench_vit(
    json: Path | None = None,
    size: str = "small",
    block: str = "random:llama-7b",
    batch: int = 8,
    repeat: int = 5,
    threads: int | None = None,
) -> list[VitTiming]:
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
    timings += compare("inference", inference, batch, repeat, {})
    if json:
        write_json(json, {"machine": machine, "timings": [asdict(timing) for timing in timings]})
    return timings


@dataclass(frozen=True)
class Work:
    """Something to be timed.

    Attributes:
        run: Does it once.
        trained_bytes: Size of the weights that are trained.
    """

    run: Callable[[], Any]
    trained_bytes: int = 0


def make_timm(size: str) -> nn.Module:
    """Timm's model, with its random initial weights."""
    import timm

    return timm.create_model(f"vit_{size}_patch{PATCH}_{PICTURE}", num_classes=CLASSES)


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


def make_step(model: nn.Module, images: Tensor, labels: Tensor) -> Work:
    """A training step."""
    import torch

    from perception.losses.classification import classification_loss

    trained = [parameter for parameter in model.train().parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, 1e-4, fused=True)  # as `perception_tools.training.optim` makes it

    def step() -> None:
        loss = classification_loss(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return Work(step, sum(parameter.nbytes for parameter in trained))


def make_inference(model: nn.Module, images: Tensor) -> Work:
    """A forward pass without gradients."""
    import torch

    model.eval()
    return Work(torch.inference_mode()(lambda: model(images)))


def compare(kind: Kind, ways: dict[str, Work], batch: int, repeat: int, peaks: dict[str, float]) -> list[VitTiming]:
    """Lets all ways take turns, so that a change in the machine's load meets each of them; the first is the baseline.

    Each round starts with another way.
    """
    import torch

    seconds: dict[str, list[float]] = {way: [] for way in ways}
    cpu_seconds: dict[str, list[float]] = {way: [] for way in ways}
    for work in ways.values():
        work.run()
    names = list(ways)
    for turn in range(repeat):
        first = turn % len(names)
        for way in names[first:] + names[:first]:
            began, cpu_began = time.perf_counter(), time.process_time()
            ways[way].run()
            seconds[way].append(time.perf_counter() - began)
            cpu_seconds[way].append(time.process_time() - cpu_began)
    timings = []
    for way, taken in seconds.items():
        ratios, cpu_ratios = (_ratios(of[names[0]], of[way]) for of in (seconds, cpu_seconds))
        median, peak, base_peak = statistics.median(taken), peaks.get(way), peaks.get(names[0])
        timing = VitTiming(
            kind, way, batch, torch.get_num_threads(), median, (min(taken), max(taken)), batch / median,
            *ratios, *cpu_ratios, peak, peak / base_peak if peak and base_peak else None,
        )  # fmt: skip
        print(_line(timing), flush=True)
        timings.append(timing)
    return timings


def _ratios(baseline: list[float], own: list[float]) -> tuple[float, tuple[float, float]]:
    """Median and limits of the ratio in each round."""
    ratios = [base / one for base, one in zip(baseline, own, strict=True)]
    return statistics.median(ratios), (min(ratios), max(ratios))


def peak_megabytes(work: Work) -> float:
    """The size of the trained weights, and the most that torch's tensors take at any time of a first run beside them.

    What oneDNN takes for itself during a product is not counted.
    """
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work.run()
    results = profiled.profiler.kineto_results if profiled.profiler else None
    assert results is not None
    events: list[Any] = [event for event in results.events() if event.name() == "[memory]"]
    changes = sorted(events, key=lambda event: event.start_ns())
    return (max(accumulate(event.nbytes() for event in changes)) + work.trained_bytes) / 2**20


def _line(timing: VitTiming) -> str:
    low, high = timing.seconds_range
    memory = f"  {timing.memory_mb:6.0f} MB, {timing.memory_ratio:.2f}x" if timing.memory_mb else ""
    return (
        f"  {timing.kind:<10}{timing.way:<34}{timing.speed:6.3f}x [{timing.speed_range[0]:.3f}, "
        f"{timing.speed_range[1]:.3f}]  cpu {timing.cpu_speed:.3f}x [{timing.cpu_speed_range[0]:.3f}, "
        f"{timing.cpu_speed_range[1]:.3f}]  {1e3 * timing.seconds:7.0f} ms [{1e3 * low:.0f}, {1e3 * high:.0f}]"
        f"  {timing.pictures_per_s:6.1f} pictures/s{memory}"
    )
