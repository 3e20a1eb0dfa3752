"""How many pictures a core decodes and crops for training, beside torchvision and timm on the same files."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from perception_tools.machine import describe_machine

if TYPE_CHECKING:
    from perception_datasets.images.records import Pictures

DRAWS = 10
"""Crops of each picture that are compared."""
OTHERS = ("torchvision", "torchvision as float", "timm")


@dataclass(frozen=True)
class Rate:
    """How fast one pipeline is.

    Attributes:
        pipeline: Its name.
        pictures_per_s: Pictures in a second of one core's time, the median of the rounds.
        ratios: Name of each other library → median, smallest and largest ratio of its time to this one's, by rounds.
    """

    pipeline: str
    pictures_per_s: float
    ratios: dict[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Difference:
    """How far crops that are decoded at a reduced size are from those of full decoding, in levels of 255.

    Attributes:
        reduced: Share of the crops that are decoded so.
        mean: Their mean absolute difference.
        largest: Their largest absolute difference.
    """

    reduced: float
    mean: float
    largest: int


def bench_decoding(data: Path, split: str = "val", size: int = 224, repeat: int = 15, limit: int = 100) -> dict:
    """Measures decoding, random resized cropping and mirroring to `size`, each on one thread.

    The pictures are copied to a temporary folder, and each library reads them from there. In each round every pipeline
    takes all pictures once, in an order of its own; a ratio is that of two times in the same round. Time is that of the
    processor, so that other programs count less. `torchvision as float` also normalises, as its usual recipe does;
    the other pipelines give whole numbers, which are normalised on the device.

    Args:
        data: Data set of pictures in any known layout.
        split: Its split.
        size: Height and width of a crop.
        repeat: Number of rounds.
        limit: Maximum number of pictures.
    """
    import torch

    from perception_datasets.images.open_pictures import open_pictures

    pictures = open_pictures(data, split, limit=limit)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = _copy(pictures, Path(scratch))
            times = _time(_pipelines(folder, size), len(pictures), repeat)
        difference = _difference(pictures, size)
    finally:
        torch.set_num_threads(threads)
    rates = [_rate(name, times, len(pictures)) for name in times]
    print(_as_table(pictures, rates, difference))
    return {
        "pictures": len(pictures),
        "size": size,
        "rates": [asdict(rate) for rate in rates],
        "difference": asdict(difference),
        "machine": describe_machine(),
    }


def _copy(pictures: Pictures, folder: Path) -> Path:
    """Writes the pictures as torchvision's ImageFolder, in two classes."""
    for number, record in enumerate(pictures):
        place = folder / "train" / f"class{number % 2}" / f"{number:06}{record.place.name.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(record.place.read())
    return folder


def _pipelines(folder: Path, size: int) -> dict[str, Callable[[int], object]]:
    """Returns what gives the crop of a picture by its number, for each library."""
    import numpy as np
    from timm.data.dataset_factory import create_dataset
    from timm.data.transforms_factory import create_transform
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    from perception_datasets.images.cropping import RandomResizedCrop
    from perception_datasets.images.open_pictures import open_pictures

    crops = [
        transforms.RandomResizedCrop(size, interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.RandomHorizontalFlip(),
    ]
    as_float = [transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    whole = ImageFolder(folder / "train", transforms.Compose([*crops, transforms.PILToTensor()]))
    floating = ImageFolder(folder / "train", transforms.Compose([*crops, *as_float]))
    plain: dict = {"color_jitter": None, "auto_augment": None, "interpolation": "bicubic", "use_prefetcher": True}
    transform = create_transform(size, is_training=True, **plain)
    timms = create_dataset("", root=str(folder), split="train", transform=transform)
    ours = open_pictures(folder, "train")
    rng = np.random.default_rng(0)

    def decode(crop: RandomResizedCrop) -> Callable[[int], object]:
        return lambda index: ours.decode_crop(ours[index], crop, rng)

    return {
        "all pixels": decode(RandomResizedCrop(size, reduce=False)),
        "reduced": decode(RandomResizedCrop(size)),
        "torchvision": whole.__getitem__,
        "torchvision as float": floating.__getitem__,
        "timm": timms.__getitem__,
    }


def _time(pipelines: dict[str, Callable[[int], object]], count: int, repeat: int) -> dict[str, list[float]]:
    """Returns the seconds of each pipeline in each round; one round before them is not counted."""
    times: dict[str, list[float]] = {name: [] for name in pipelines}
    shuffled = random.Random(0)
    for turn in range(repeat + 1):
        for name in shuffled.sample(list(pipelines), len(pipelines)):
            began = time.process_time()
            for index in range(count):
                pipelines[name](index)
            if turn:
                times[name].append(time.process_time() - began)
    return times


def _rate(name: str, times: dict[str, list[float]], count: int) -> Rate:
    ratios = {}
    for other in OTHERS:
        each = [theirs / ours for theirs, ours in zip(times[other], times[name], strict=True)]
        ratios[other] = statistics.median(each), min(each), max(each)
    return Rate(name, count / statistics.median(times[name]), ratios)


def _difference(pictures: Pictures, size: int) -> Difference:
    """Compares parts that are decoded at a reduced size with the same parts of the whole pictures."""
    import numpy as np

    from perception_datasets.images.cropping import RandomResizedCrop
    from perception_datasets.images.decoding import open_encoded

    crop, rng, found, crops = RandomResizedCrop(size), np.random.default_rng(0), [], 0
    for record in pictures:
        data, name = record.place.read(), record.place.name
        for _ in range(DRAWS):
            box = crop.draw(*open_encoded(data, name, pictures.decoding).size, rng)
            reduction = crop.reduction(box)
            crops += 1
            if reduction > 1:
                one, two = (
                    crop.cut(open_encoded(data, name, pictures.decoding), box.snapped(reduction), by, name)
                    for by in (1, reduction)
                )
                found.append(np.abs(one.astype(np.int16) - two))
    mean = float(np.mean([difference.mean() for difference in found])) if found else 0.0
    return Difference(len(found) / crops, mean, max((int(d.max()) for d in found), default=0))


def _as_table(pictures: Pictures, rates: list[Rate], difference: Difference) -> str:
    lines = [
        f"{len(pictures)} pictures, one thread",
        f"{'pipeline':<22} {'pictures/s':>10}  " + "  ".join(f"{f'× {other}':<24}" for other in OTHERS),
    ]
    for rate in rates:
        ratios = (f"{middle:.2f} ({low:.2f} to {high:.2f})" for middle, low, high in rate.ratios.values())
        lines.append(f"{rate.pipeline:<22} {rate.pictures_per_s:>10.0f}  " + "  ".join(f"{r:<24}" for r in ratios))
    lines.append(
        f"{100 * difference.reduced:.0f} % of crops are decoded at a reduced size; they differ from others by "
        f"{difference.mean:.2f} levels of 255 in the mean, {difference.largest} at most"
    )
    return "\n".join(lines)
