"""From a trained model to its deployment form, and what narrower weights cost it; the same for every task."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from perception.errors import InputError
from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.block import EVERY_ROW
from perception.frozen.folded import can_fold, fold
from perception.frozen.folded_file import load_folded, save_folded
from perception.kernels.precision import Precision
from perception.tokens import Readout, Tokens
from perception_tools.json_files import write_json
from perception_tools.references import resolve
from perception_tools.tasks import task_of_run


@dataclass(frozen=True)
class FoldedResult:
    """What a precision gives.

    Attributes:
        precision: Precision of the tail's weights; `unfolded` is the trained adapter itself.
        megabytes: Size of the files, or of the adapter's weights.
        relative_error: Error of what the block gives to the rows that the head reads (without the tokens that a
            residual adapter adds), over all records: |difference| / |unfolded|, both as norms.
        metrics: The task's headline.
        block_ms: Median time of the block in one call.
    """

    precision: str
    megabytes: float
    relative_error: float
    metrics: dict[str, float]
    block_ms: float

    def as_json(self) -> dict:
        """All numbers side by side."""
        values = asdict(self)
        return values | values.pop("metrics")


class ComparedBlock(nn.Module):
    """A block in its deployment form, compared with the adapter that it stands for in every call."""

    def __init__(self, block: nn.Module, adapter: FrozenBlockAdapter) -> None:
        super().__init__()
        self.block, self.adapter = block, adapter
        self.difference = self.truth = 0.0
        self.seconds: list[float] = []

    def forward(self, tokens: Tokens, readout: Readout = EVERY_ROW) -> Tensor:
        """The block's values."""
        start = time.perf_counter()
        out = self.block(tokens, readout)
        self.seconds.append(time.perf_counter() - start)
        truth = self.adapter(tokens, readout)
        added = truth - readout.gather(tokens.values) if self.adapter.residual else truth
        read = slice(None) if readout.valid is None else readout.valid
        self.difference += float((out - truth)[read].square().sum())
        self.truth += float(added[read].square().sum())
        return out


def fold_run(
    run: Path, out: Path, precisions: Sequence[Precision], data: Path | None, *, split: str, limit: int | None
) -> list[FoldedResult]:
    """Writes a run's deployment form in every precision; with data, measures each on it and prints a table.

    Raises:
        InputError: The model has no language block, or the data cannot be used.
    """
    task = task_of_run(run)
    trained = task.load_model(run)
    model: Any = trained.model
    adapter = model.block
    if not can_fold(adapter):
        raise InputError(f"{run}: expected a model with a language block, this one has none; there is nothing to fold")
    written = write_pipelines(adapter, trained.name, out, precisions)
    if data is None:
        return []
    blocks = {"unfolded": adapter, **{precision: load_folded(path) for precision, path in written.items()}}
    sizes = {"unfolded": sum(parameter.nbytes for parameter in adapter.parameters())}
    sizes |= {p: sum(file.stat().st_size for file in path.parent.glob("*.safetensors")) for p, path in written.items()}
    results = []
    for precision, block in blocks.items():
        compared = ComparedBlock(block, adapter)
        metrics = resolve(task.headline)(model.with_block(compared), trained, data, split, limit)
        error = (compared.difference / compared.truth) ** 0.5
        block_ms = 1000 * float(torch.tensor(compared.seconds).median())
        results.append(FoldedResult(precision, sizes[precision] / 1e6, error, metrics, block_ms))
    write_json(out / "precisions.json", {"precisions": [result.as_json() for result in results]})
    print(f"\n{_table(results)}\n{out / 'precisions.json'}")
    return results


def write_pipelines(
    adapter: FrozenBlockAdapter, name: str, out: Path, precisions: Sequence[Precision]
) -> dict[Precision, Path]:
    """Writes OUT/PRECISION/NAME.safetensors and the block's own file beside it, for each precision.

    Args:
        adapter: The model's block.
        name: Name of the recipe; a hyphen takes the place of its slash.
        out: Folder.
        precisions: Precisions of the block's weights.
    """
    written: dict[Precision, Path] = {}
    for precision in precisions:
        written[precision] = save_folded(fold(adapter, precision), out / precision, name.replace("/", "-"))
        folded = load_folded(written[precision])
        print(f"{written[precision]}: {folded.fingerprint[:12]} around block {folded.tail.fingerprint[:12]}")
    return written


def _table(results: Sequence[FoldedResult]) -> str:
    names = list(results[0].metrics)
    lines = [f"{'weights':<14}{'MB':>8}{'error':>10}{''.join(f'{n:>14}' for n in names)}{'block, ms':>11}"]
    for r in results:
        numbers = "".join(f"{r.metrics[name]:>14.4f}" for name in names)
        lines.append(f"{r.precision:<14}{r.megabytes:>8.1f}{r.relative_error:>10.1e}{numbers}{r.block_ms:>11.2f}")
    return "\n".join(lines)
