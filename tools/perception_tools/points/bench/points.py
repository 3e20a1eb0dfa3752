"""Sampling, training steps and reading of point clouds beside other ways, in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perception.errors import InputError
from perception_tools.bench.taking_turns import Timing, Work, compare, make_inference, make_step, peak_megabytes
from perception_tools.json_files import write_json
from perception_tools.machine import describe_machine

if TYPE_CHECKING:
    from torch import Tensor

    from perception.models.point_classifier import PointClassifier

CLASSES = 40
SAMPLES = ((32, 1024, 64), (8, 2048, 128), (4, 8192, 1200))
"""Clouds, points, and points that are chosen: the groups of Table 2's models, and the first step of training."""
READ = 16
"""Number of clouds that are read, of 10,000 points each, as ModelNet40's are."""


def bench_points(
    json: Path | None = None,
    size: str = "small",
    block: str = "random:llama-7b",
    batch: int = 8,
    points: int = 1024,
    repeat: int = 5,
    threads: int | None = None,
) -> list[Timing]:
    """Times farthest point sampling, training steps of Point-BERT with a block and without, and reading of clouds.

    All take turns; the speed of a way is the first way's time over its own, so that above 1 is faster. Sampling stands
    beside fpsample and Open3D where they are installed, a step beside Point-BERT as it is usually written in PyTorch.

    Args:
        json: File for all numbers and the machine.
        size: Size of the transformer: micro or small.
        block: URI of the block.
        batch: Number of clouds in a step.
        points: Number of points of each, a sixteenth as many groups.
        repeat: Number of rounds.
        threads: PyTorch's; its own choice by default.
    """
    import torch

    if batch < 1 or repeat < 1 or points < 16:
        raise InputError(
            f"--batch {batch} --repeat {repeat} --points {points}: expected at least 1 of each, and 16 points"
        )
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    machine = describe_machine()
    print(f"Point-BERT {size}, block {block}; {machine['processor']}, {torch.get_num_threads()} threads")
    timings = []
    for clouds, total, count in SAMPLES:
        ways = sampling_ways(torch.randn(clouds, total, 3), count)
        timings += compare(f"{count}/{total}", ways, clouds, repeat)
    steps = training_ways(size, block, batch, points)
    peaks = {way: peak_megabytes(step) for way, step in steps.items()}
    timings += compare("training", steps, batch, repeat, peaks)
    del steps
    timings += compare("inference", inference_ways(size, block, batch, points), batch, repeat)
    with tempfile.TemporaryDirectory() as folder:
        timings += compare("reading", reading_ways(Path(folder)), READ, repeat)
    if json:
        write_json(json, {"machine": machine, "timings": [asdict(timing) for timing in timings]})
    return timings


def sampling_ways(clouds: Tensor, count: int) -> dict[str, Work]:
    """Ways of farthest point sampling; the first is the usual loop."""
    from perception.clouds.grouping import farthest_points
    from perception_tools.points.bench.naive import sample

    arrays = [cloud.numpy() for cloud in clouds]
    ways: dict[str, Callable[[], Any]] = {
        "a loop in PyTorch": lambda: sample(clouds, count),
        "ours": lambda: farthest_points(clouds, count),
        "ours, cloud by cloud": lambda: [farthest_points(cloud.unsqueeze(0), count) for cloud in clouds],
    }
    if find_spec("fpsample") is not None:
        import fpsample

        ways["fpsample"] = lambda: [fpsample.fps_sampling(cloud, count, start_idx=0) for cloud in arrays]
    if find_spec("open3d") is not None:
        import open3d as o3d

        vectors = [o3d.utility.Vector3dVector(cloud.astype(np.float64)) for cloud in arrays]
        held = [o3d.geometry.PointCloud(vector) for vector in vectors]
        ways["Open3D"] = lambda: [cloud.farthest_point_down_sample(count) for cloud in held]
    return {name: Work(run) for name, run in ways.items()}


def training_ways(size: str, block: str, batch: int, points: int) -> dict[str, Work]:
    """Training steps; the first is Point-BERT as it is usually written, without a block."""
    import torch

    from perception.encoders.point_bert import PointBert
    from perception_tools.points.bench.naive import NaivePointBert

    clouds, labels = torch.randn(batch, points, 3), torch.randint(CLASSES, (batch,))
    return {
        "usual PyTorch, bare": make_step(make_classifier(NaivePointBert, size, points, None), clouds, labels),
        "ours, bare": make_step(make_classifier(PointBert, size, points, None), clouds, labels),
        "ours, with the block": make_step(make_classifier(PointBert, size, points, block), clouds, labels),
    }


def inference_ways(size: str, block: str, batch: int, points: int) -> dict[str, Work]:
    """Forward passes of models for serving; the first has no block."""
    import torch

    from perception.encoders.point_bert import PointBert

    clouds = torch.randn(batch, points, 3)
    behind = make_classifier(PointBert, size, points, block)
    return {
        "ours, bare": make_inference(make_classifier(PointBert, size, points, None).folded(), clouds),
        "ours, with the block": make_inference(behind.folded(), clouds),
        "ours, with the block in bfloat16": make_inference(behind.folded("bfloat16"), clouds),
    }


def make_classifier(kind: Any, size: str, points: int, block: str | None) -> PointClassifier:
    """A model around an encoder of a class; without a block where there is no URI."""
    from perception.clouds.cloud import CloudInput
    from perception.encoders.point_bert import POINT_BERT_SIZES
    from perception.frozen.adapter import build_adapter
    from perception.heads.classification import ClsMaxHead
    from perception.models.point_classifier import PointClassifier

    if size not in POINT_BERT_SIZES:
        raise InputError(f"--size {size}: expected one of {', '.join(POINT_BERT_SIZES)}")
    dim = POINT_BERT_SIZES[size].transformer.dim
    adapter = build_adapter(dim, kind="none") if block is None else build_adapter(dim, source=block, init="default")
    encoder = kind(POINT_BERT_SIZES[size], points // 16)
    return PointClassifier(encoder, adapter, ClsMaxHead(dim, CLASSES), CloudInput(points))


def reading_ways(folder: Path) -> dict[str, Work]:
    """Reads clouds of 10,000 points that are written there; the first way is NumPy's reader of text alone."""
    from perception.clouds.cloud import CloudInput
    from perception_datasets.clouds.open_clouds import open_clouds

    rng = np.random.default_rng(0)
    for number in range(READ):
        points = rng.normal(size=(10_000, 6)).astype(np.float32)
        for kind in ("txt", "npy"):
            (folder / kind / "train" / f"class{number % 2}").mkdir(parents=True, exist_ok=True)
        np.savetxt(folder / "txt" / "train" / f"class{number % 2}" / f"{number}.txt", points, "%.6f", ",")
        np.save(folder / "npy" / "train" / f"class{number % 2}" / f"{number}.npy", points[:, :3])
    texts = sorted((folder / "txt").rglob("*.txt"))
    splits = {kind: open_clouds(folder / kind, "train") for kind in ("txt", "npy")}
    input, npy = CloudInput(1024), splits["npy"]

    def read(kind: str) -> list[Any]:
        return [splits[kind].decode(record) for record in splits[kind]]

    return {
        "text, NumPy alone": Work(lambda: [np.loadtxt(path, np.float32, delimiter=",") for path in texts]),
        "text": Work(lambda: read("txt")),
        "arrays": Work(lambda: read("npy")),
        "arrays, and 1,024 of them sampled": Work(lambda: [input.prepare(npy.decode(record)) for record in npy]),
    }
