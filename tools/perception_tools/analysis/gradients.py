"""Coherence of records' gradients with and without the block, on trained and on fresh models."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from perception.analysis.gradients import GradientCoherence, flat_gradient, gradient_coherence
from perception.errors import InputError
from perception.metrics.bootstrap import bootstrap_interval
from perception_datasets.errors import Failures
from perception_tools.devices import find_device
from perception_tools.json_files import write_json
from perception_tools.output_places import keep_apart
from perception_tools.references import resolve
from perception_tools.report.side_by_side import Contestant, names_apart
from perception_tools.tasks import Task


@dataclass(frozen=True)
class RecordLosses:
    """What a task tells of its losses: its `record_losses` gives one for a trained model, data, split and limit.

    Attributes:
        noun: What the records are, in the plural.
        losses: Function from a model in evaluation mode to the loss of each record by itself, without augmentation.
        initial: Function from a seed to the model as it was before training.
        failures: Records that could not be used; `losses` adds to them.
    """

    noun: str
    losses: Callable[[Any], Iterator[Float[Tensor, ""]]]
    initial: Callable[[int], Any]
    failures: Failures = field(default_factory=Failures)


def analyse_gradients(
    task: Task,
    runs: Sequence[Path],
    data: Path,
    out: Path,
    *,
    split: str = "train",
    batch: int = 16,
    batches: int = 8,
    seeds: Sequence[int] = (),
    device: str = "cpu",
) -> dict:
    """Measures the coherence of the encoder's gradients; what is written is in `perception analyse gradients --help`.

    Args:
        task: The task; it has `record_losses`.
        runs: Run folders or model files.
        data: Folder or archive of the records.
        out: Folder for gradients.json.
        split: Split of the data.
        batch: Number of records whose gradients are compared with each other.
        batches: Number of such batches.
        seeds: Seeds of fresh models, which are measured too.
        device: Where models run.

    Raises:
        InputError: A model or the data cannot be used, or there are too few records.
    """
    assert task.record_losses is not None, "the command checks it"
    for name, number, least in (("batch", batch, 2), ("batches", batches, 1)):
        if number < least:
            raise InputError(f"--{name} {number}: expected at least {least}; leave it out for the usual")
    keep_apart([out], [data])
    trained = [task.load_model(run) for run in runs]
    names = names_apart([Contestant(of.name, of.recipe, run, None) for of, run in zip(trained, runs, strict=True)])
    found: dict[str, dict] = {}
    failures: dict[str, str] = {}
    for name, one in zip(names, trained, strict=True):
        source: RecordLosses = resolve(task.record_losses)(one, data, split, batch * batches)
        found[name] = {"trained": _coherence(source, one.model.to(find_device(device)), batch, f"{name}, trained")}
        found[name]["initial"] = {
            str(seed): _coherence(source, source.initial(seed).to(find_device(device)), batch, f"{name}, seed {seed}")
            for seed in seeds
        }
        failures |= source.failures.reasons
    first, *others = found
    numbers = found[first] | {
        "name": first,
        "others": {name: found[name] for name in others},
        "split": split,
        "batch": batch,
        "data": data.resolve().name,
        "failures": failures,
    }
    write_json(out / "gradients.json", numbers)
    _print_table(found)
    for record, why in failures.items():
        print(f"left out: {record}: {why}")
    print(out / "gradients.json")
    return numbers


def _coherence(source: RecordLosses, model: Any, batch: int, title: str) -> dict:
    """Means over batches, with 95 % bootstrap intervals over them."""
    encoder: nn.Module = model.encoder
    parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    losses = tqdm(source.losses(model.eval()), desc=title, leave=False)
    gradients = (flat_gradient(loss, parameters) for loss in losses)
    found: list[GradientCoherence] = []
    # Gradients are made one at a time: a list of them would be as many copies of the encoder.
    for first in gradients:
        rest = itertools.islice(gradients, batch - 1)
        second = next(rest, None)
        if second is None:
            break
        found.append(gradient_coherence(itertools.chain([first, second], rest)))
    if not found:
        raise InputError(f"{title}: expected two {source.noun} or more, got fewer; give more data, or another split")
    columns = np.array([[one.cosine, one.product] for one in found])
    low, high = bootstrap_interval(columns, seed=0)
    return {
        "cosine": float(columns[:, 0].mean()),
        "interval": {name: [float(low[at]), float(high[at])] for at, name in enumerate(("cosine", "product"))},
        "product": float(columns[:, 1].mean()),
        source.noun: sum(one.records for one in found),
        "batches": len(found),
        "parameters": sum(parameter.numel() for parameter in parameters),
    }


def _print_table(found: dict[str, dict]) -> None:
    print("\nmean cosine of two records' gradients of the encoder [95 % over batches]; mean product over mean square")
    width = max(map(len, found)) + 2
    for name, of in found.items():
        for word, numbers in {"trained": of["trained"], **{f"seed {s}": n for s, n in of["initial"].items()}}.items():
            low, high = numbers["interval"]["cosine"]
            cosine = f"{numbers['cosine']:+.4f} [{low:+.4f}, {high:+.4f}]"
            print(f"  {name:<{width}}{word:<9} {cosine}   {numbers['product']:+.4f}")
